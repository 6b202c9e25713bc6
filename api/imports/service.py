"""Taking files in, showing what would happen, and answering what did."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import polars as pl
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.imports.batch import RowResult
from api.imports.error_file import write_error_file
from api.imports.job import preview, stored_files
from api.imports.options import ImportOptions
from api.imports.prepare import ImportFile, PreparedFile, good_rows, open_file
from api.imports.presets import GENERIC, Entity
from api.imports.problems import FileProblem
from api.imports.repository import iterate_problems
from api.imports.schemas import ImportedFile, ImportPreview, ImportRead, PreviewedFile, Progress, RowProblem
from api.kernel.context import Context
from api.kernel.errors import PayloadTooLarge, Unprocessable
from api.models.import_job import ImportJob

#: Rows of each file that a preview reads.
PREVIEW_ROWS = 5_000
#: Bytes of all files of one import.
LARGEST_UPLOAD = 512 * 1024 * 1024
_FIRST_ROWS = 10
_SHOWN_PROBLEMS = 100
_BLOCK = 1 << 20


class ImportFileUnusable(Unprocessable):
    """A file of which no row can be read."""

    code = "import_file_unusable"


class Upload(Protocol):
    """A file on its way in."""

    async def read(self, size: int = -1) -> bytes:
        """The next bytes."""


@dataclass(frozen=True)
class IncomingFile:
    """An uploaded file and what its rows are."""

    name: str
    entity: Entity
    upload: Upload


async def create_import(
    session: AsyncSession,
    context: Context,
    *,
    incoming: Sequence[IncomingFile],
    options: ImportOptions,
    files_path: Path,
) -> ImportRead:
    """Store the files and queue the job.

    Raises:
        ImportFileUnusable: a file cannot be read at all; nothing is stored.
        PayloadTooLarge: the files are too large.
    """
    job = _new_job(context, options)
    folder = _folder(files_path, job)
    try:
        job.files = await _store(incoming, folder)
        _check(job, folder, options)
    except (ImportFileUnusable, PayloadTooLarge):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    session.add(job)
    await session.flush()
    await session.refresh(job)
    return as_read(job)


async def preview_import(
    session: AsyncSession, context: Context, *, incoming: Sequence[IncomingFile], options: ImportOptions
) -> ImportPreview:
    """What the import would do with the first rows of each file. Writes nothing.

    Raises:
        ImportFileUnusable: a file cannot be read at all.
        PayloadTooLarge: the files are too large.
    """
    job = _new_job(context, options)
    job.created_at = (await session.execute(text("select now()"))).scalar_one()
    with tempfile.TemporaryDirectory(prefix="sluice-preview-") as name:
        folder = Path(name)
        job.files = await _store(incoming, folder)
        try:
            files = stored_files(job, folder)
            plan, batch = await preview(session, job, files=files, work=folder, limit=PREVIEW_ROWS)
        except FileProblem as problem:
            raise ImportFileUnusable(str(problem), pointer=f"/files/{problem.file}") from problem
        problems = batch.problems
        return ImportPreview(
            files=[_previewed(one) for one in plan.files],
            counts={entity: {result: count[result] for result in RowResult} for entity, count in batch.results.items()},
            would_create=batch.created,
            problems=[_problem(files, one) for one in problems[:_SHOWN_PROBLEMS]],
            problem_count=len(problems),
            warnings=[*(warning for one in plan.files for warning in one.warnings), *dict.fromkeys(batch.warnings)],
        )


async def write_errors(session: AsyncSession, job: ImportJob, *, files_path: Path) -> Path:
    """Write an import's error file into a temporary one; the caller removes it."""
    with tempfile.NamedTemporaryFile(prefix="sluice-errors-", suffix=".csv", delete=False) as stream:
        target = Path(stream.name)
    await write_error_file(
        target,
        iterate_problems(session, job),
        files=stored_files(job, _folder(files_path, job)),
        options=ImportOptions.model_validate(job.options),
    )
    return target


def as_read(job: ImportJob) -> ImportRead:
    """An import as it is answered."""
    progress = {Entity(entity): Progress.model_validate(figures) for entity, figures in job.progress.items()}
    sums = {name: sum(getattr(one, name) for one in progress.values()) for name in Progress.model_fields}
    return ImportRead(
        id=job.id,
        version=job.version,
        state=job.state,
        options=job.options,
        files=[ImportedFile.model_validate({k: file[k] for k in ImportedFile.model_fields}) for file in job.files],
        progress=progress,
        counts=Progress(**sums),
        warnings=job.warnings,
        error=job.error,
        created_by=job.created_by,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )


def _new_job(context: Context, options: ImportOptions) -> ImportJob:
    return ImportJob(
        organization_id=context.organization_id,
        id=uuid7(),
        version=0,
        created_by=context.actor_id,
        state="queued",
        options=options.model_dump(mode="json"),
        files=[],
        progress={},
        warnings=[],
        steps_done=0,
        attempts=0,
    )


def _folder(files_path: Path, job: ImportJob) -> Path:
    return files_path / str(job.organization_id) / str(job.id)


async def _store(incoming: Sequence[IncomingFile], folder: Path) -> list[dict[str, object]]:
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # microseconds
    stored: list[dict[str, object]] = []
    room = LARGEST_UPLOAD
    for number, one in enumerate(incoming):
        name = f"{number}.csv"
        with (folder / name).open("wb") as stream:  # a local disk is quicker than a thread
            size, digest = await _copy(one.upload, stream, room)
        room -= size
        stored.append({"name": one.name, "entity": one.entity.value, "stored_as": name, "size": size, "sha256": digest})
    return stored


async def _copy(upload: Upload, stream: BinaryIO, room: int) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while block := await upload.read(_BLOCK):
        size += len(block)
        if size > room:
            raise PayloadTooLarge(LARGEST_UPLOAD)
        digest.update(block)
        stream.write(block)
    return size, digest.hexdigest()


def _check(job: ImportJob, folder: Path, options: ImportOptions) -> None:
    """Refuse now what would fail as a whole later."""
    for file in stored_files(job, folder):
        try:
            open_file(file, options)
        except FileProblem as problem:
            raise ImportFileUnusable(str(problem), pointer=f"/files/{problem.file}") from problem


def _problem(files: Sequence[ImportFile], row: Mapping[str, Any]) -> RowProblem:
    texts = {name: row[name] for name in ("field", "value", "problem", "fix")}
    return RowProblem(file=files[row["file_index"]].name, row=row["row_number"], **texts)


def _previewed(one: PreparedFile) -> PreviewedFile:
    columns = [name for name in GENERIC[one.file.entity] if name in one.columns]
    rows = good_rows(one, one.chunks[0]).select(columns).head(_FIRST_ROWS) if one.chunks else pl.DataFrame()
    return PreviewedFile(
        name=one.file.name,
        entity=one.file.entity,
        encoding=one.source.encoding,
        delimiter=one.source.delimiter,
        columns=columns,
        rows_read=one.row_count,
        is_whole=one.is_whole,
        first_rows=rows.to_dicts(),
    )
