"""Reading one row of the caller's organization: found, or 404; locked, in the version that the caller knows, or 412."""

from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.kernel.errors import NotFound, PreconditionFailed
from api.models.base import Aggregate, TenantRow

R = TypeVar("R", bound=TenantRow)
A = TypeVar("A", bound=Aggregate)


async def find(session: AsyncSession, model: type[R], *, organization_id: UUID, id: UUID, noun: str) -> R:  # noqa: A002 # reads as the column it is
    """The row, unlocked.

    Raises:
        NotFound: no such row in this organization.
    """
    query = select(model).where(model.organization_id == organization_id, model.id == id)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound(noun)
    return row


async def lock(
    session: AsyncSession,
    model: type[A],
    *,
    organization_id: UUID,
    id: UUID,  # noqa: A002 # reads as the column it is
    noun: str,
    expected_version: int | None = None,
) -> A:
    """The row as of now, locked until the transaction ends. Lock before appending its event.

    Raises:
        NotFound: no such row in this organization.
        PreconditionFailed: its version is not the expected one.
    """
    query = (
        select(model)
        .where(model.organization_id == organization_id, model.id == id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound(noun)
    if expected_version is not None and row.version != expected_version:
        raise PreconditionFailed
    return row
