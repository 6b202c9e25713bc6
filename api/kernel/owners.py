"""Who may own a record: an active user of the organization. The one rule for companies, contacts and deals."""

from uuid import UUID

from sqlalchemy import bindparam, select

from api.db.statements import Bound, compiled
from api.kernel.constraints import UnknownReference
from api.kernel.unit_of_work import UnitOfWork
from api.models.user import User

_ACTIVE_USER = compiled(
    select(User.id).where(
        User.organization_id == bindparam("organization_id"), User.id == bindparam("owner_id"), User.is_active
    )
)


def active_user(unit: UnitOfWork, owner_id: UUID | None) -> list[Bound]:
    """The statement that finds a new owner, for `fetch_all`; none where there is nothing to look up.

    Nobody may own a record; so may the caller, who was checked when the request began.
    """
    if owner_id is None or owner_id == unit.context.actor_id:
        return []
    return [_ACTIVE_USER.bind(owner_id=owner_id)]


async def check_owner(unit: UnitOfWork, owner_id: UUID | None) -> None:
    """Check a new owner.

    Raises:
        UnknownReference: no active user of the organization.
    """
    await check_user(unit, "owner_id", owner_id)


async def check_user(unit: UnitOfWork, field: str, user_id: UUID | None) -> None:
    """Check the user whom a field names, if any: who owns a record, who is to do a task.

    Raises:
        UnknownReference: no active user of the organization.
    """
    wanted = active_user(unit, user_id)
    if wanted and not (await unit.fetch_all(*wanted))[0]:
        raise UnknownReference(field, "active user")
