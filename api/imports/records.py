"""Statements about imports and their problems."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, tuple_

from api.db.statements import compiled
from api.kernel.listing import Listing
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.import_job import ImportJob, ImportProblem
from api.models.organization import Organization
from contracts import locks

#: What is hinted at where an import waits to be done.
WORK = "imports"

_organization: Any = bindparam("organization_id")
_jobs = select(ImportJob.__table__).where(ImportJob.organization_id == _organization)
JOBS = Listing(_jobs, filters={}, order=(ImportJob.id,), newest_first=True)
JOB = compiled(_jobs.where(ImportJob.id == bindparam("import_id")))
#: The job as long as it is this worker's.
CLAIMED_JOB = compiled(
    _jobs.where(
        ImportJob.id == bindparam("import_id"), ImportJob.claim == bindparam("claim"), ImportJob.state == "running"
    ).with_for_update()
)
#: Imports of one organization write one after the other: each must see what the other created.
ONE_WRITER = compiled(
    text(f"select pg_advisory_xact_lock(hashtextextended(cast(:organization_id as text), {locks.IMPORTS_SEED}))")
)
#: What the reading of files depends on.
SETTINGS = compiled(
    select(Organization.time_zone, Organization.currency, func.now().label("now")).where(
        Organization.organization_id == _organization
    )
)

_PROBLEMS_AT_ONCE = 2_000
_ORDER = (ImportProblem.file_index, ImportProblem.row_number, ImportProblem.id)
_PROBLEMS = compiled(
    select(ImportProblem.__table__)
    .where(
        ImportProblem.organization_id == _organization,
        ImportProblem.import_id == bindparam("import_id"),
        tuple_(*_ORDER) > tuple_(*(bindparam(column.key, type_=column.type) for column in _ORDER)),
    )
    .order_by(*_ORDER)
    .limit(_PROBLEMS_AT_ONCE)
)


async def iterate_problems(unit: UnitOfWork, import_id: UUID) -> AsyncIterator[Row]:
    """All problems of an import, in the order of its files and their rows."""
    after: dict[str, object] = {"file_index": -1, "row_number": -1, "id": UUID(int=0)}
    while problems := await unit.fetch(_PROBLEMS, import_id=import_id, **after):
        for problem in problems:
            yield problem
        after = {column.key: getattr(problems[-1], column.key) for column in _ORDER}
