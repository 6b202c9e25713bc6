"""Statements about contacts. Callers pass the organization and whose contacts count; row-level security backs them.

`owner_ids` is the set of visible owners, None for everybody's contacts, the unowned ones included.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.models.contact import Contact

Owners = Collection[UUID] | None


@dataclass(frozen=True, kw_only=True)
class ContactFilter:
    """Which contacts a list shows; `text` is part of the name or e-mail."""

    owner_id: UUID | None = None
    company_id: UUID | None = None
    text: str | None = None


def select_contacts(organization_id: UUID, owner_ids: Owners, *, only: ContactFilter) -> Select[Contact]:
    """The visible contacts that a filter lets through."""
    query = select(Contact).where(Contact.organization_id == organization_id)
    if owner_ids is not None:
        query = query.where(Contact.owner_id.in_(owner_ids))
    if only.owner_id is not None:
        query = query.where(Contact.owner_id == only.owner_id)
    if only.company_id is not None:
        query = query.where(Contact.company_id == only.company_id)
    if only.text:
        query = query.where(
            or_(Contact.name.icontains(only.text, autoescape=True), Contact.email.icontains(only.text, autoescape=True))
        )
    return query


async def get_contact(
    session: AsyncSession, organization_id: UUID, *, contact_id: UUID, owner_ids: Owners, locked: bool = False
) -> Contact | None:
    """One visible contact; locked, it is as of now and stays so until the transaction ends."""
    query = select_contacts(organization_id, owner_ids, only=ContactFilter()).where(Contact.id == contact_id)
    if locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()
