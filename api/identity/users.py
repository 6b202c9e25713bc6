"""Rules of users: who may make whom what, and that an organization keeps an owner."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.identity import people, sessions
from api.kernel.constraints import explained
from api.kernel.context import Context
from api.kernel.errors import Conflict, Forbidden
from api.kernel.event_log import append
from api.kernel.rows import lock
from api.models.user import User
from contracts.access import DEFAULT_SCOPES, RecordScope, Role
from contracts.events.identity import UserCreated, UserUpdated


class EmailTaken(Conflict):
    """The organization has a user with this address."""

    code = "email_taken"

    def __init__(self) -> None:
        super().__init__("A user of this organization has this e-mail address.")


class OwnersAreForOwners(Forbidden):
    """Only an owner may make, change or disable an owner."""

    code = "owners_are_for_owners"

    def __init__(self) -> None:
        super().__init__("Only an owner may make or change an owner.")


class LastOwner(Conflict):
    """An organization keeps at least one active owner."""

    code = "last_owner"

    def __init__(self) -> None:
        super().__init__("This is the organization's last active owner.")


class PasswordNotYours(Conflict):
    """The person uses this password for another organization too."""

    code = "password_not_yours"

    def __init__(self) -> None:
        super().__init__("This person also belongs to another organization; only they may change their password.")


@dataclass(frozen=True, kw_only=True)
class NewUser:
    """A user to be made; `person_id` when the person is known."""

    email: str
    name: str
    role: Role
    record_scope: RecordScope | None = None
    person_id: UUID | None = None
    id: UUID = field(default_factory=uuid7)


_PROBLEMS = {"uq_users_email": EmailTaken, "uq_users_person": EmailTaken}


def users_query(*, organization_id: UUID, is_active: bool | None = None, role: Role | None = None) -> Select[User]:
    """Users of an organization."""
    query = select(User).where(User.organization_id == organization_id)
    if is_active is not None:
        query = query.where(User.is_active.is_(is_active))
    return query if role is None else query.where(User.role == role.value)


async def create_user(session: AsyncSession, context: Context, new: NewUser, *, password_hash: str | None) -> User:
    """Make a user; and the person, with this password, unless they are known.

    Raises:
        EmailTaken: the organization has a user with the address.
    """
    person_id = new.person_id or await people.create_person(
        session, email=new.email, name=new.name, password_hash=password_hash
    )
    scope = new.record_scope or DEFAULT_SCOPES[new.role]
    user = User(
        organization_id=context.organization_id,
        id=new.id,
        person_id=person_id,
        email=new.email,
        name=new.name,
        role=new.role.value,
        record_scope=scope.value,
        is_active=True,
    )
    session.add(user)
    with explained(_PROBLEMS):
        await session.flush()
    event = UserCreated(role=new.role, record_scope=scope, is_active=True)
    await append(session, event, context=context, aggregate=user)
    await session.flush()
    return user


def require_may_grant(role: Role, *, caller_role: Role) -> None:
    """Refuse an admin who deals with owners.

    Raises:
        OwnersAreForOwners: as it says.
    """
    if role is Role.OWNER and caller_role is not Role.OWNER:
        raise OwnersAreForOwners


async def update_user(
    session: AsyncSession,
    context: Context,
    *,
    user_id: UUID,
    changes: dict[str, Any],
    expected_version: int,
    caller_role: Role,
    password_hash: str | None = None,
) -> User:
    """Change name, role, scope or standing (`changes` holds only what was sent), or the password.

    Raises:
        NotFound, PreconditionFailed, OwnersAreForOwners, LastOwner, PasswordNotYours: as they say.
    """
    user = await lock(
        session,
        User,
        organization_id=context.organization_id,
        id=user_id,
        noun="user",
        expected_version=expected_version,
    )
    if "role" in changes and changes["role"] != user.role:
        changes = {"record_scope": DEFAULT_SCOPES[Role(changes["role"])].value} | changes
    changed = {name: value for name, value in changes.items() if getattr(user, name) != value}
    if not changed and password_hash is None:
        return user
    for role in (user.role, changed.get("role", user.role)):
        require_may_grant(Role(role), caller_role=caller_role)
    if user.role == Role.OWNER and (changed.get("role") or changed.get("is_active") is False):
        await _require_another_owner(session, user)
    for name, value in changed.items():
        setattr(user, name, value)
    if password_hash is not None:
        await _change_password(session, user, password_hash)
    if changed.get("is_active") is False:
        await sessions.end_all(session, organization_id=user.organization_id, user_id=user.id, because="disabled")
    event = UserUpdated(role=user.role_kind, record_scope=user.scope_kind, is_active=user.is_active)
    await append(session, event, context=context, aggregate=user)
    await session.flush()
    return user


async def _change_password(session: AsyncSession, user: User, password_hash: str) -> None:
    if not await people.set_password(session, person_id=user.person_id, password_hash=password_hash):
        raise PasswordNotYours
    await sessions.end_all(session, organization_id=user.organization_id, user_id=user.id, because="password")


async def _require_another_owner(session: AsyncSession, user: User) -> None:
    """Locks all owners in one order, so that two of them cannot step down past each other."""
    query = (
        users_query(organization_id=user.organization_id, is_active=True, role=Role.OWNER)
        .order_by(User.id)
        .with_for_update()
    )
    if all(owner.id == user.id for owner in (await session.execute(query)).scalars()):
        raise LastOwner
