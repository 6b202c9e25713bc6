"""Who may own a record: an active user of the organization. The one rule for companies, contacts and deals."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.kernel.constraints import UnknownReference
from api.kernel.context import Context
from api.models.user import User


async def require_owner(session: AsyncSession, context: Context, *, owner_id: UUID | None) -> None:
    """Check a new owner. Nobody may own a record; so may the caller, who was checked when the request began.

    Raises:
        UnknownReference: no active user of the organization.
    """
    if owner_id is None or owner_id == context.actor_id:
        return
    query = select(User.id).where(User.organization_id == context.organization_id, User.id == owner_id, User.is_active)
    if (await session.execute(query)).scalar_one_or_none() is None:
        raise UnknownReference("owner_id", "active user")
