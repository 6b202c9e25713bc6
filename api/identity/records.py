"""Statements of users and their sign-ins, in one organization. Those of people are in `people`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, bindparam, func, literal_column, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from api.db.statements import compiled, is_one_of
from api.identity.people import add_people
from api.identity.rules import EmailTaken, Ended, NewUser, SignIn, User, create_user
from api.kernel.auditing import note
from api.kernel.changes import Change
from api.kernel.listing import Listing
from api.kernel.states import as_state, as_states, only, rows_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.writing import write
from api.models.organization import Organization
from api.models.session import SignIn as SignInRow
from api.models.team import TeamMember
from api.models.user import User as UserRow
from contracts.access import Role
from contracts.events.identity import UserLoggedIn

_PROBLEMS = {"uq_users_email": EmailTaken, "uq_users_person": EmailTaken}
_TABLES = {User: UserRow, SignIn: SignInRow}

_USERS = rows_of(User, UserRow)
READ_USER = compiled(_USERS.where(UserRow.id == bindparam("user_id")))
ALL_USERS = compiled(_USERS)
USERS = Listing(
    _USERS,
    filters={"is_active": UserRow.is_active == bindparam("is_active"), "role": UserRow.role == bindparam("role")},
    order=(UserRow.id,),
)
_ME = compiled(
    _USERS.where(UserRow.id == bindparam("user_id")).add_columns(
        select(func.to_jsonb(literal_column("organizations.*"), type_=JSONB))
        .select_from(Organization)
        .where(Organization.organization_id == UserRow.organization_id)
        .scalar_subquery()
        .label("organization"),
        select(TeamMember.team_id)
        .where(
            TeamMember.organization_id == UserRow.organization_id,
            TeamMember.user_id == UserRow.id,
            TeamMember.ended_at.is_(None),
        )
        .scalar_subquery()
        .label("team_id"),
    )
)
# in one order, so that two who lock all owners cannot step down past each other
_LOCK_USERS = compiled(
    _USERS.where(
        or_(
            is_one_of(UserRow.id, "user_ids"),
            (UserRow.role == Role.OWNER.value) & UserRow.is_active & bindparam("with_owners", type_=Boolean),
        )
    )
    .order_by(UserRow.id)
    .with_for_update(key_share=True)
)
_LOCK_SIGN_IN = compiled(
    rows_of(SignIn, SignInRow)
    .add_columns(UserRow.is_active)
    .join(UserRow, (UserRow.organization_id == SignInRow.organization_id) & (UserRow.id == SignInRow.user_id))
    .where(SignInRow.id == bindparam("session_id"))
    .with_for_update(of=SignInRow)
)
_END = """
update sessions set revoked_at = clock_timestamp(), revoked_because = :because
where organization_id = :organization_id and {} and revoked_at is null
"""
_SIGNS_IN = compiled(
    text("""
update users set version = :version, sign_ins = sign_ins + 1
where organization_id = :organization_id and id = :user_id
""")
)
_MARK_FACTOR = compiled(
    text("update sessions set has_second_factor = true where organization_id = :organization_id and id = :session_id")
)
SIGN_INS = Listing(
    rows_of(SignIn, SignInRow)
    .add_columns(SignInRow.created_at)
    .where(SignInRow.revoked_at.is_(None), SignInRow.expires_at > func.now()),
    filters={"user_id": SignInRow.user_id == bindparam("user_id")},
    order=(SignInRow.id,),
    newest_first=True,
)
_END_ONE = compiled(text(_END.format("id = :session_id")))
_END_ALL = compiled(text(_END.format("user_id = :user_id")))


async def find_user(unit: UnitOfWork, user_id: UUID) -> User:
    """One user.

    Raises:
        NotFound: no such user here.
    """
    return only(User, await unit.fetch(READ_USER, user_id=user_id), "user")


async def look_for_user(unit: UnitOfWork, user_id: UUID) -> User | None:
    """One user, if there is such a one here."""
    found = as_states(User, await unit.fetch(READ_USER, user_id=user_id))
    return found[0] if found else None


async def read_me(unit: UnitOfWork, user_id: UUID) -> tuple[Row, Mapping[str, Any], UUID | None]:
    """A user, their organization, and the team that they are in now."""
    [me] = await unit.fetch(_ME, user_id=user_id)
    return me, {**me.organization, "id": me.organization["organization_id"]}, me.team_id


async def lock_users(unit: UnitOfWork, user_ids: Sequence[UUID], *, with_owners: bool = False) -> list[User]:
    """These users, locked; with all active owners if asked for."""
    rows = await unit.fetch(_LOCK_USERS, user_ids=list(user_ids), with_owners=with_owners)
    return as_states(User, rows)


def write_users(unit: UnitOfWork, changes: Iterable[Change[User]]) -> None:
    """Queue what was decided. The people of new users are there already."""
    unit.explain(_PROBLEMS)
    write(unit, changes, _TABLES)


async def make_user(unit: UnitOfWork, new: NewUser, *, by: Role | None, password_hash: str | None) -> User:
    """Make a user; and the person, with this password, unless they are known.

    Raises:
        OwnersAreForOwners: as it says.
    """
    change = create_user(new, unit.now, by=by)
    if new.person_id is None:
        await add_people(unit, [change.after], password_hash=password_hash)
    write_users(unit, [change])
    return change.after


def note_sign_in(unit: UnitOfWork, user: User) -> None:
    """Tell that a locked user signs in: an event of theirs, and no change of what others read of them."""
    unit.execute(_SIGNS_IN, user_id=user.id, version=user.version + 1)
    unit.emit(UserLoggedIn(), aggregate_id=user.id, aggregate_version=user.version + 1)


def begin_sign_in(
    unit: UnitOfWork, user_id: UUID, *, life: timedelta, user_agent: str | None, has_second_factor: bool
) -> SignIn:
    """Sign a user in, from where the unit's context says."""
    sign_in = SignIn(
        id=uuid7(),
        user_id=user_id,
        expires_at=unit.now + life,
        rotated_at=unit.now,
        address=unit.context.address,
        user_agent=user_agent,
        has_second_factor=has_second_factor,
    )
    write(unit, [Change(None, sign_in)], _TABLES)
    return sign_in


async def lock_sign_in(unit: UnitOfWork, session_id: UUID) -> tuple[SignIn, bool] | None:
    """A sign-in, locked, and whether its user is active."""
    rows = await unit.fetch(_LOCK_SIGN_IN, session_id=session_id)
    return (as_state(SignIn, rows[0]), rows[0].is_active) if rows else None


def write_sign_in(unit: UnitOfWork, change: Change[SignIn]) -> None:
    """Queue what was decided."""
    write(unit, [change], _TABLES)


def end(unit: UnitOfWork, *, session_id: UUID, because: Ended = Ended.LOGOUT) -> None:
    """End one sign-in; its access tokens die with it."""
    unit.execute(_END_ONE, session_id=session_id, because=because)
    note(unit, "sign_in.ended", resource="sign_in", resource_id=session_id, after={"because": because})


def end_all(unit: UnitOfWork, *, user_id: UUID, because: Ended) -> None:
    """End all sign-ins of a user."""
    unit.execute(_END_ALL, user_id=user_id, because=because)
    note(unit, "user.signed_out", resource="user", resource_id=user_id, after={"because": because})


def mark_second_factor(unit: UnitOfWork, *, session_id: UUID) -> None:
    """Note that a sign-in has shown a second factor."""
    unit.execute(_MARK_FACTOR, session_id=session_id)
