"""Taking files in: stored and looked through before a connection is taken, gone again when nothing comes of them."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import UUID

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from uuid_utils.compat import uuid7

from api.edge.dependencies import Claims
from api.edge.services import services_of
from api.imports import records
from api.imports.custom_columns import CustomColumns, custom_columns
from api.imports.files import ImportFile, open_file
from api.imports.job import Prepared, prepare, stored_files
from api.imports.learned import Memory, recall, with_memory
from api.imports.options import ImportOptions
from api.imports.presets import Entity, entity_of_name
from api.imports.problems import FileProblem
from api.imports.workbooks import turn_into_text
from api.kernel.context import Context
from api.kernel.errors import PayloadTooLarge, Unprocessable
from api.kernel.unit_of_work import Row
from contracts.events.envelope import ActorKind

#: Rows of each entity that a preview tries out; it reads and checks all of them.
PREVIEW_ROWS = 10_000
#: Bytes of all files of one import.
LARGEST_UPLOAD = 512 * 1024 * 1024
_BLOCK = 1 << 20
#: Form fields that hold a file without saying what its rows are; its name then has to.
_ANY_FILE = ("file", "files")


class ImportFileUnusable(Unprocessable):
    """A file of which no row can be read."""

    code = "import_file_unusable"


class UnknownEntity(Unprocessable):
    """A file that does not say what its rows are."""

    code = "import_entity_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"It is not clear what the rows of {name!r} are. Send the file in a form field called"
            f" {', '.join(entity.value for entity in Entity)}, or name it so.",
            pointer=f"/files/{name}",
        )


class InvalidImportOptions(Unprocessable):
    """Options that do not fit their schema."""

    code = "import_options_invalid"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """The stored files of one import; for a preview, read already."""

    import_id: UUID
    options: ImportOptions
    stored: Sequence[dict[str, object]]
    files: Sequence[ImportFile]
    prepared: Prepared | None
    #: What earlier imports say of these files' headings.
    notes: Sequence[str] = ()


async def _uploaded(request: Request, claims: Claims) -> AsyncIterator[Upload]:
    folder = folder_of(services_of(request).settings.files_path, claims.organization_id, import_id := uuid7())
    is_kept = False
    try:
        async with request.form() as form:
            options = _options(form.get("options"))
            incoming = [(field, one) for field, one in form.multi_items() if isinstance(one, UploadFile)]
            if not incoming:
                raise InvalidImportOptions("The form holds no file.", pointer="/files")
            stored = await _store(incoming, folder)
        unread = await asyncio.to_thread(_as_text, stored, folder)
        if request.url.path.endswith("/preview"):
            options = options.model_copy(update={"preview": True})
        settings, memory, custom = await _settings(request, claims)
        for one in stored:
            one["custom"] = [asdict(column) for column in custom.get(Entity(str(one["entity"])), ())]
        files = stored_files(stored, folder)
        options, notes = with_memory(files, options, memory)
        prepared = await _prepare(settings, import_id, files, options, work=folder)
        if prepared is not None:
            prepared.run.files[0].warnings[:0] = unread
            for number, told in notes.items():
                prepared.run.files[number].guesses[:0] = [f"{one}." for one in told]
        yield Upload(
            import_id=import_id,
            options=options,
            stored=stored,
            files=files,
            prepared=prepared,
            notes=[*unread, *(f"{one}." for told in notes.values() for one in told)],
        )
        is_kept = not options.preview
    except FileProblem as problem:
        raise ImportFileUnusable(str(problem), pointer=f"/files/{problem.file}") from problem
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


#: The files of the request. Name it before whoever is calling: what comes slowly holds no connection.
Uploaded = Annotated[Upload, Depends(_uploaded)]


def folder_of(files_path: Path, organization_id: UUID, import_id: UUID) -> Path:
    """Where an import's files are."""
    return files_path / str(organization_id) / str(import_id)


async def _settings(request: Request, claims: Claims) -> tuple[Row, Memory, CustomColumns]:
    context = Context(
        organization_id=claims.organization_id,
        actor=ActorKind.USER,
        actor_id=claims.user_id,
        correlation_id=request.state.correlation_id,
    )
    async with services_of(request).database.reading(context) as unit:
        [settings] = await unit.fetch(records.SETTINGS)
        return settings, await recall(unit), await custom_columns(unit)


async def _prepare(
    settings: Row,
    import_id: UUID,
    files: Sequence[ImportFile],
    options: ImportOptions,
    *,
    work: Path,
) -> Prepared | None:
    if not options.preview:
        for file in files:  # refuse now what would fail as a whole later
            open_file(file, options)
        return None
    return await asyncio.to_thread(
        prepare, import_id, files, options, settings=settings, now=settings.now, work=work, at_most=PREVIEW_ROWS
    )


async def _store(incoming: Sequence[tuple[str, UploadFile]], folder: Path) -> list[dict[str, object]]:
    # whose records they are, nobody else on the machine may read them
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # microseconds
    folder.mkdir(mode=0o700, exist_ok=True)  # noqa: ASYNC240  # as above
    stored: list[dict[str, object]] = []
    room = LARGEST_UPLOAD
    for number, (field, upload) in enumerate(incoming):
        name = upload.filename or field
        entity = entity_of_name(name) if field in _ANY_FILE else entity_of_name(field) or entity_of_name(name)
        if entity is None:
            raise UnknownEntity(name)
        with (folder / f"{number}.csv").open("wb") as stream:  # a local disk is quicker than a thread
            size, digest = await _copy(upload, stream, room)
        room -= size
        stored.append(
            {"name": name, "entity": entity.value, "stored_as": f"{number}.csv", "size": size, "sha256": digest}
        )
    return stored


async def _copy(upload: UploadFile, stream: BinaryIO, room: int) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while block := await upload.read(_BLOCK):
        size += len(block)
        if size > room:
            raise PayloadTooLarge(LARGEST_UPLOAD)
        digest.update(block)
        stream.write(block)
    return size, digest.hexdigest()


def _as_text(stored: Sequence[dict[str, object]], folder: Path) -> list[str]:
    """Workbooks become the text that an import reads; what of them is not read."""
    return [note for one in stored for note in turn_into_text(str(one["name"]), folder / str(one["stored_as"]))]


def _options(value: object) -> ImportOptions:
    if value is None:
        return ImportOptions()
    try:
        return ImportOptions.model_validate_json(value if isinstance(value, str) else "")
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(part) for part in first["loc"])
        raise InvalidImportOptions(f"{where}: {first['msg']}", pointer=f"/options/{where}") from error
