"""One import from its first step to its last, a transaction each; and the same work rolled back, as a preview.

The import's row says how many steps are committed: progress, counts and problems are written in the transaction of the
rows they speak of. A job whose worker died is taken up at the next step, with the same result.
"""

import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.db.session import enter_organization
from api.imports.batch import Batch, ImportRun, RowResult
from api.imports.options import ImportOptions
from api.imports.plan import Plan, make_plan, rows_in
from api.imports.prepare import ImportFile, PreparedFile, prepare_file
from api.imports.presets import Entity
from api.imports.problems import FileProblem
from api.imports.values import ReadingRules
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.event_log import NewEvent
from api.models.import_job import ImportJob
from api.models.organization import Organization
from contracts import locks
from contracts.events.envelope import ActorKind, Event
from contracts.events.imports import ImportCompleted, ImportStarted

#: Names listed in a warning before it says how many more there are.
_NAMED_IN_WARNING = 10
_BECOME_APP = text("set local role sluice_app")
#: Imports of one organization write one after the other: each must see what the other created.
_ONE_WRITER = text(
    f"select pg_advisory_xact_lock(hashtextextended(cast(:organization_id as text), {locks.IMPORTS_SEED}))"
)


class ClaimLostError(RuntimeError):
    """Another worker took the job over, because this one seemed dead."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job that this worker holds."""

    organization_id: UUID
    import_id: UUID
    token: UUID


def blank_progress(totals: Mapping[Entity, int]) -> dict[str, dict[str, int]]:
    """Progress per entity before the first row."""
    return {
        entity.value: {"total": total, "done": 0, **dict.fromkeys(RowResult, 0)} for entity, total in totals.items()
    }


async def run_job(database: Database, claim: Claim, *, files_path: Path, stop: threading.Event) -> None:
    """Do what is left of a job. Returns early, with the job unfinished, when `stop` is set.

    Raises:
        ClaimLostError: another worker has it now.
    """
    async with database.transaction() as session:
        job = await _enter(session, claim)
        organization = await _organization(session, claim.organization_id)
    folder = files_path / str(claim.organization_id) / str(claim.import_id)
    work = folder / "prepared"
    work.mkdir(parents=True, exist_ok=True)
    try:
        files = stored_files(job, folder)
        plan = _prepare(job, organization, files=files, work=work)
    except FileProblem as problem:
        await _give_up(database, claim, str(problem))
        return
    run = _run_of(job, organization, plan.files)
    for number in range(job.steps_done, len(plan.steps) + 1):
        if stop.is_set():
            return
        async with database.transaction() as session:
            await _run_step(session, claim, plan=plan, number=number, run=run)
    shutil.rmtree(work, ignore_errors=True)


def stored_files(job: ImportJob, folder: Path) -> list[ImportFile]:
    """An import's files where they were stored."""
    return [ImportFile(file["name"], Entity(file["entity"]), folder / file["stored_as"]) for file in job.files]


async def preview(
    session: AsyncSession, job: ImportJob, *, files: Sequence[ImportFile], work: Path, limit: int
) -> tuple[Plan, Batch]:
    """Do the whole work for the first `limit` rows of each file, then undo it.

    The session's transaction is rolled back to where it was; nothing is written.

    Raises:
        FileProblem: a file cannot be read at all.
    """
    organization = await _organization(session, job.organization_id)
    plan = _prepare(job, organization, files=files, work=work, limit=limit)
    savepoint = await session.begin_nested()
    try:
        await session.execute(_ONE_WRITER, {"organization_id": str(job.organization_id)})
        total = Batch(session, _run_of(job, organization, plan.files))
        for step in plan.steps:
            await step(total)
            await session.flush()
        return plan, total
    finally:
        await savepoint.rollback()
        session.expunge_all()


def _prepare(
    job: ImportJob, organization: Organization, *, files: Sequence[ImportFile], work: Path, limit: int | None = None
) -> Plan:
    options = ImportOptions.model_validate(job.options)
    rules = ReadingRules(
        time_zone=ZoneInfo(organization.time_zone).key,
        now=job.created_at,
        day_first=options.day_first,
        decimal_comma=options.decimal_comma,
    )
    currency = options.currency or organization.currency
    prepared = [
        prepare_file(number, file, options=options, rules=rules, currency=currency, folder=work, limit=limit)
        for number, file in enumerate(files)
    ]
    return make_plan(prepared)


def _run_of(job: ImportJob, organization: Organization, files: Sequence[PreparedFile]) -> ImportRun:
    options = ImportOptions.model_validate(job.options)
    return ImportRun(
        import_id=job.id,
        context=Context(
            organization_id=job.organization_id,
            actor=ActorKind.IMPORT,
            actor_id=job.id,
            correlation_id=job.id,
        ),
        options=options,
        currency=options.currency or organization.currency,
        learned_at=job.created_at,
        files=files,
    )


async def _enter(session: AsyncSession, claim: Claim) -> ImportJob:
    """Become the app inside the job's organization, and make sure that the job is still this worker's."""
    await session.execute(_BECOME_APP)
    await enter_organization(session, claim.organization_id)
    query = select(ImportJob).where(
        ImportJob.organization_id == claim.organization_id,
        ImportJob.id == claim.import_id,
        ImportJob.claim == claim.token,
        ImportJob.state == "running",
    )
    job = (await session.scalars(query.with_for_update())).one_or_none()
    if job is None:
        raise ClaimLostError(str(claim.import_id))
    return job


async def _organization(session: AsyncSession, organization_id: UUID) -> Organization:
    query = select(Organization).where(Organization.organization_id == organization_id)
    return (await session.scalars(query)).one()


async def _run_step(session: AsyncSession, claim: Claim, *, plan: Plan, number: int, run: ImportRun) -> None:
    job = await _enter(session, claim)
    await session.execute(_ONE_WRITER, {"organization_id": str(claim.organization_id)})
    batch = Batch(session, run)
    if number == 0:
        _begin(batch, job, plan=plan)
    if number == len(plan.steps):
        _complete(batch, job)
    else:
        await plan.steps[number](batch)
        job.progress = add_counts(job.progress, batch.counts())
        job.warnings = [*job.warnings, *_warnings(batch)]
    job.steps_done = number + 1
    await session.flush()
    await batch.finish()


def _begin(batch: Batch, job: ImportJob, *, plan: Plan) -> None:
    totals = rows_in(plan.files)
    job.progress = blank_progress(totals)
    job.warnings = [warning for one in plan.files for warning in one.warnings]
    job.started_at = func.clock_timestamp()
    started = ImportStarted(
        preset=batch.options.preset,
        entity=",".join(entity.value for entity in Entity if entity in totals),
        row_count=sum(totals.values()),
    )
    _emit(batch, job, started)


def _complete(batch: Batch, job: ImportJob) -> None:
    job.state, job.claim = "completed", None
    job.completed_at = func.clock_timestamp()
    sums = {result: sum(counts[result] for counts in job.progress.values()) for result in RowResult}
    completed = ImportCompleted(
        created_count=sums[RowResult.CREATED],
        updated_count=sums[RowResult.UPDATED],
        unchanged_count=sums[RowResult.UNCHANGED],
        failed_count=sums[RowResult.FAILED],
    )
    _emit(batch, job, completed)


def _emit(batch: Batch, job: ImportJob, event: Event) -> None:
    job.version += 1
    batch.emit(NewEvent(event=event, aggregate_id=job.id, aggregate_version=job.version))


async def _give_up(database: Database, claim: Claim, reason: str) -> None:
    async with database.transaction() as session:
        job = await _enter(session, claim)
        job.state, job.claim, job.error = "failed", None, reason
        job.completed_at = func.clock_timestamp()


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
        *(f"Created {kind}: {listing(names)}." for kind, names in batch.created.items()),
    ]


def listing(names: Sequence[Any]) -> str:
    """A few names, and how many more."""
    more = len(names) - _NAMED_IN_WARNING
    shown = ", ".join(str(name) for name in names[:_NAMED_IN_WARNING])
    return f"{shown} and {more} more" if more > 0 else shown
