"""Statements about companies. Callers pass the organization and whose companies count; row-level security backs them.

`owner_ids` is the set of visible owners, None for everybody's companies, the unowned ones included.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.models.company import Company

Owners = Collection[UUID] | None


@dataclass(frozen=True, kw_only=True)
class CompanyFilter:
    """Which companies a list shows; `text` is part of the name."""

    owner_id: UUID | None = None
    text: str | None = None


def select_companies(organization_id: UUID, owner_ids: Owners, *, only: CompanyFilter) -> Select[Company]:
    """The visible companies that a filter lets through."""
    query = select(Company).where(Company.organization_id == organization_id)
    if owner_ids is not None:
        query = query.where(Company.owner_id.in_(owner_ids))
    if only.owner_id is not None:
        query = query.where(Company.owner_id == only.owner_id)
    if only.text:
        query = query.where(Company.name.icontains(only.text, autoescape=True))
    return query


async def get_company(
    session: AsyncSession, organization_id: UUID, *, company_id: UUID, owner_ids: Owners, locked: bool = False
) -> Company | None:
    """One visible company; locked, it is as of now and stays so until the transaction ends."""
    query = select_companies(organization_id, owner_ids, only=CompanyFilter()).where(Company.id == company_id)
    if locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()
