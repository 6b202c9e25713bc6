"""Statements about imports and their problems."""

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.edge.pages import Pagination, fetch_page
from api.models.import_job import ImportJob, ImportProblem

_PROBLEMS_AT_ONCE = 2_000


async def list_jobs(
    session: AsyncSession, organization_id: UUID, *, page: Pagination
) -> tuple[list[ImportJob], str | None]:
    """A page of imports, newest first, and the next page's cursor."""
    query = select(ImportJob).where(ImportJob.organization_id == organization_id)
    return await fetch_page(session, query, page=page, id_column=ImportJob.id, newest_first=True)


async def iterate_problems(session: AsyncSession, job: ImportJob) -> AsyncIterator[ImportProblem]:
    """All problems of an import, in the order of its files and their rows."""
    columns = (ImportProblem.file_index, ImportProblem.row_number, ImportProblem.id)
    query = (
        select(ImportProblem)
        .where(ImportProblem.organization_id == job.organization_id, ImportProblem.import_id == job.id)
        .order_by(*columns)
        .execution_options(yield_per=_PROBLEMS_AT_ONCE)
    )
    async for problem in await session.stream_scalars(query):
        yield problem
