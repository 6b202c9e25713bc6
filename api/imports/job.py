"""One import from its first step to its last, a transaction each; and the same work undone, as a preview.

The import's row says how many steps are committed: progress, counts and problems are written in the transaction of the
rows they speak of. A job whose worker died is taken up at the next step, with the same result.
"""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic_core import to_json
from sqlalchemy import text

from api.db.statements import compiled
from api.imports import records
from api.imports.batch import Batch, ImportRun, RowResult
from api.imports.custom_columns import CustomColumn
from api.imports.directory import load_directory
from api.imports.files import ImportFile, with_histories_beside
from api.imports.options import ImportOptions
from api.imports.plan import Plan, Step, make_plan, rows_in
from api.imports.prepare import prepare_file
from api.imports.presets import Entity
from api.imports.problems import FileProblem
from api.imports.values import ReadingRules
from api.kernel.context import Context
from api.kernel.database import Database, begun
from api.kernel.unit_of_work import Opening, Row, UnitOfWork
from api.models.import_job import ImportJob, ImportProblem
from contracts.events.envelope import ActorKind, Event
from contracts.events.imports import ImportCompleted, ImportStarted

#: Names listed in a warning before it says how many more there are.
_NAMED_IN_WARNING = 10
_BECOME_APP = compiled(text("set local role sluice_app"))
_ENTER = compiled(text("select set_config('sluice.organization_id', :organization_id, true)"))
_SAVEPOINT, _UNDO = compiled(text("savepoint preview")), compiled(text("rollback to savepoint preview"))


class ClaimLostError(RuntimeError):
    """Another worker took the job over, because this one seemed dead."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job that this worker holds."""

    organization_id: UUID
    import_id: UUID
    token: UUID


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An import whose files are read: the work to do, and what it depends on."""

    run: ImportRun
    plan: Plan


async def run_job(database: Database, claim: Claim, *, files_path: Path, stop: threading.Event) -> None:
    """Do what is left of a job. Returns early, with the job unfinished, when `stop` is set.

    Raises:
        ClaimLostError: another worker has it now.
    """
    async with _claimed(database, claim) as (unit, job):
        [settings] = await unit.fetch(records.SETTINGS)
    folder = files_path / str(claim.organization_id) / str(claim.import_id)
    work = folder / "prepared"
    work.mkdir(parents=True, exist_ok=True)
    options = ImportOptions.model_validate(job.options)
    try:
        prepared = prepare(
            job.id, stored_files(job.files, folder), options, settings=settings, now=job.created_at, work=work
        )
    except FileProblem as problem:
        await _give_up(database, claim, str(problem))
        return
    async with _reading_ahead(prepared.plan.steps[job.steps_done :]) as read:
        for number in range(job.steps_done, len(prepared.plan.steps) + 1):
            if stop.is_set():
                return
            await _run_step(database, claim, prepared, number=number, rows=await read())
    shutil.rmtree(work, ignore_errors=True)


@asynccontextmanager
async def _reading_ahead(steps: Sequence[Step]) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """What each step has read, one after the other, then None: the next one reads while PostgreSQL has this one's."""
    waiting = iter(steps)

    def begin() -> asyncio.Task[Any] | None:
        step = next(waiting, None)
        return None if step is None else asyncio.create_task(asyncio.to_thread(step.read))

    reading = begin()

    async def read() -> Any:  # noqa: ANN401 # whatever the step reads
        nonlocal reading
        if reading is None:
            return None
        rows = await reading
        reading = begin()
        return rows

    try:
        yield read
    finally:
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)


def stored_files(files: Sequence[Mapping[str, Any]], folder: Path) -> list[ImportFile]:
    """An import's files where they were stored."""
    return [
        ImportFile(
            file["name"],
            Entity(file["entity"]),
            folder / file["stored_as"],
            custom=tuple(CustomColumn.stored(one) for one in file.get("custom", ())),
        )
        for file in files
    ]


def prepare(
    import_id: UUID,
    files: Sequence[ImportFile],
    options: ImportOptions,
    *,
    settings: Row,
    now: datetime,
    work: Path,
    at_most: int | None = None,
) -> Prepared:
    """Read and check files, and cut the work. `at_most`: about so many rows of each entity are tried.

    Raises:
        FileProblem: a file cannot be read at all.
    """
    currency = options.currency or settings.currency
    rules = ReadingRules(time_zone=ZoneInfo(settings.time_zone).key, now=now, currency=currency)
    read = [
        prepare_file(number, file, options=options, rules=rules, folder=work)
        for number, file in enumerate(with_histories_beside(files, options))
    ]
    run = ImportRun(
        import_id=import_id,
        options=options,
        currency=currency,
        time_zone=rules.time_zone,
        learned_at=now,
        files=read,
    )
    return Prepared(run=run, plan=make_plan(read, at_most=at_most))


async def try_out(unit: UnitOfWork, prepared: Prepared) -> Batch:
    """Do the whole work, then undo it; what it came to is in the batch."""
    unit.execute(_SAVEPOINT)
    await unit.fetch(records.ONE_WRITER)
    batch = Batch(unit, prepared.run)
    for step in prepared.plan.steps:
        await _write(batch, step, step.read())
        await unit.send()
    unit.execute(_UNDO)
    return batch


async def _write(batch: Batch, step: Step, rows: Any) -> None:  # noqa: ANN401 # whatever the step reads
    directory = await load_directory(batch.unit, default_pipeline=batch.options.pipeline)
    await step.write(batch, directory, rows)


@asynccontextmanager
async def _claimed(database: Database, claim: Claim) -> AsyncIterator[tuple[UnitOfWork, Row]]:
    """A unit of work as the app inside the job's organization, and the job, which is still this worker's."""
    found: list[Row] = []
    context = Context(
        organization_id=claim.organization_id,
        actor=ActorKind.IMPORT,
        actor_id=claim.import_id,
        correlation_id=claim.import_id,
    )

    def admit(answers: Sequence[list[Row]]) -> Context:
        found.extend(answers[-1])
        if not found:
            raise ClaimLostError(str(claim.import_id))
        return context

    job = records.CLAIMED_JOB.bind(import_id=claim.import_id, claim=claim.token)
    unit = UnitOfWork(database.pool)
    unit.open_with(Opening(claim.organization_id, (_BECOME_APP.bind(), _ENTER.bind(), job), admit))
    async with begun(unit):
        await unit.begin()
        yield unit, found[0]


async def _run_step(
    database: Database,
    claim: Claim,
    prepared: Prepared,
    *,
    number: int,
    rows: Any,  # noqa: ANN401 # whatever the step reads
) -> None:
    plan = prepared.plan
    step = plan.steps[number] if number < len(plan.steps) else None
    async with _claimed(database, claim) as (unit, job):
        await unit.fetch(records.ONE_WRITER)
        batch = Batch(unit, prepared.run)
        changes: dict[str, Any] = {"progress": job.progress, "warnings": job.warnings, "version": job.version}
        if number == 0:
            changes |= _begin(batch, job, plan)
        if step is None:
            changes |= _complete(batch, changes)
        else:
            await _write(batch, step, rows)
            changes["progress"] = add_counts(changes["progress"], batch.counts())
            changes["warnings"] = [*changes["warnings"], *_warnings(batch)]
        _store(unit, job, {**changes, "steps_done": number + 1})
        unit.insert(ImportProblem, *batch.problems)


def _begin(batch: Batch, job: Row, plan: Plan) -> dict[str, Any]:
    totals = rows_in(plan.files)
    started = ImportStarted(
        preset=batch.options.preset,
        entity=",".join(entity.value for entity in Entity if entity in totals),
        row_count=sum(totals.values()),
    )
    return {
        "progress": {
            entity.value: {"total": total, "done": 0, **dict.fromkeys(RowResult, 0)} for entity, total in totals.items()
        },
        "warnings": [*job.warnings, *(text for one in plan.files for text in (*one.guesses, *one.warnings))],
        "started_at": batch.unit.now,
        "version": _emit(batch, job.version, started),
    }


def _complete(batch: Batch, job: Mapping[str, Any]) -> dict[str, Any]:
    sums = {result: sum(counts[result] for counts in job["progress"].values()) for result in RowResult}
    completed = ImportCompleted(
        created_count=sums[RowResult.CREATED],
        updated_count=sums[RowResult.UPDATED],
        unchanged_count=sums[RowResult.UNCHANGED],
        failed_count=sums[RowResult.FAILED],
    )
    ended = {"state": "completed", "claim": None, "completed_at": batch.unit.now}
    return {**ended, "version": _emit(batch, job["version"], completed)}


def _emit(batch: Batch, version: int, event: Event) -> int:
    batch.unit.emit(event, aggregate_id=batch.run.import_id, aggregate_version=version + 1)
    return version + 1


async def _give_up(database: Database, claim: Claim, reason: str) -> None:
    async with _claimed(database, claim) as (unit, job):
        _store(unit, job, {"state": "failed", "claim": None, "error": reason, "completed_at": unit.now})


def _store(unit: UnitOfWork, job: Row, changes: Mapping[str, Any]) -> None:
    # a list would be written as an array
    written = {name: as_json(value) if isinstance(value, list) else value for name, value in changes.items()}
    unit.update(ImportJob, {"id": job.id, **written})


def as_json(value: object) -> str:
    """A value for a column of JSON."""
    return to_json(value).decode()


def add_counts(
    progress: Mapping[str, Mapping[str, int]], counts: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Progress after one more batch."""
    after = {entity: dict(figures) for entity, figures in progress.items()}
    for entity, results in counts.items():
        for result, count in results.items():
            after[entity][result] += count
            after[entity]["done"] += count
    return after


def _warnings(batch: Batch) -> list[str]:
    return [
        *dict.fromkeys(batch.warnings),
        *(f"Created {kind}: {_listing(names)}." for kind, names in batch.created.items()),
    ]


def _listing(names: Sequence[Any]) -> str:
    more = len(names) - _NAMED_IN_WARNING
    shown = ", ".join(str(name) for name in names[:_NAMED_IN_WARNING])
    return f"{shown} and {more} more" if more > 0 else shown
