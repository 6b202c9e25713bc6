"""Statements of users, their sign-ins, and of people.

People are found and made under the role that sees across organizations; nothing of them leaves this slice. Each such
statement is sent together with both changes of role, so no other statement ever runs under it.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Boolean, bindparam, func, or_, select, text
from uuid_utils.compat import uuid7

from api.db.statements import Bound, compiled, is_one_of
from api.identity.passwords import Credential
from api.identity.rules import EmailTaken, Ended, NewUser, PasswordNotYours, SignIn, User, create_user
from api.kernel.changes import Change
from api.kernel.listing import Listing
from api.kernel.states import as_state, as_states, only, rows_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.writing import write
from api.models.person import Person
from api.models.session import SignIn as SignInRow
from api.models.team import TeamMember
from api.models.user import User as UserRow
from api.organizations.records import READ as READ_ORGANIZATION
from contracts.access import Role

#: More registrations of one address than this are not tried at a sign-in. The oldest come first, so whoever registers
#: another's address later cannot lock its owner out.
_MOST_TRIED = 5
_PROBLEMS = {"uq_users_email": EmailTaken, "uq_users_person": EmailTaken}
_TABLES = {User: UserRow, SignIn: SignInRow}

_BECOME_AUTH = compiled(text("select set_config('role', 'sluice_auth', true)"))
_BECOME_APP = compiled(text("select set_config('role', 'sluice_app', true)"))

_CREDENTIALS = compiled(
    select(Person.id, Person.password_hash)
    .where(func.lower(Person.email) == bindparam("email"), Person.password_hash.is_not(None))
    .order_by(Person.created_at, Person.id)
    .limit(_MOST_TRIED)
)
_MEMBERSHIPS = compiled(
    select(UserRow.organization_id, UserRow.id.label("user_id"))
    .where(UserRow.person_id == bindparam("person_id"), UserRow.is_active)
    .order_by(UserRow.created_at, UserRow.id)
)
_ADD_PEOPLE = compiled(
    text("""
insert into people (id, email, name, password_hash)
select * from unnest(
    cast(:ids as uuid[]), cast(:emails as text[]), cast(:names as text[]), cast(:password_hashes as text[])
)
""")
)
# nothing for a person who belongs to several organizations
_SET_PASSWORD = compiled(
    text("""
update people set password_hash = :password_hash, updated_at = now()
where id = :person_id and (select count(*) from users where person_id = :person_id) <= 1 returning id
""")
)

_USERS = rows_of(User, UserRow)
READ_USER = compiled(_USERS.where(UserRow.id == bindparam("user_id")))
ALL_USERS = compiled(_USERS)
USERS = Listing(
    _USERS,
    filters={"is_active": UserRow.is_active == bindparam("is_active"), "role": UserRow.role == bindparam("role")},
    order=(UserRow.id,),
)
_TEAM_OF = compiled(
    select(TeamMember.team_id).where(
        TeamMember.organization_id == bindparam("organization_id"),
        TeamMember.user_id == bindparam("user_id"),
        TeamMember.ended_at.is_(None),
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
_END_ONE = compiled(text(_END.format("id = :session_id")))
_END_ALL = compiled(text(_END.format("user_id = :user_id")))


async def credentials_of(unit: UnitOfWork, *, email: str) -> list[Credential]:
    """Registrations of an address that have a password, oldest first."""
    rows = await _across_organizations(unit, _CREDENTIALS.bind(email=email.lower()))
    return [Credential(row.id, row.password_hash) for row in rows]


async def memberships_of(unit: UnitOfWork, *, person_id: UUID) -> list[Row]:
    """`organization_id` and `user_id` of each active membership of a person, oldest first."""
    return await _across_organizations(unit, _MEMBERSHIPS.bind(person_id=person_id))


async def add_people(unit: UnitOfWork, users: Sequence[User], *, password_hash: str | None = None) -> None:
    """Register the addresses of new users."""
    await _across_organizations(
        unit,
        _ADD_PEOPLE.bind(
            ids=[user.person_id for user in users],
            emails=[user.email for user in users],
            names=[user.name for user in users],
            password_hashes=[password_hash] * len(users),
        ),
    )


async def set_password(unit: UnitOfWork, user: User, password_hash: str) -> None:
    """Give a person another password; all sign-ins end.

    Raises:
        PasswordNotYours: they belong to several organizations. Nothing is done.
    """
    changed = await _across_organizations(
        unit, _SET_PASSWORD.bind(person_id=user.person_id, password_hash=password_hash)
    )
    if not changed:
        raise PasswordNotYours
    end_all(unit, user_id=user.id, because=Ended.PASSWORD)


async def _across_organizations(unit: UnitOfWork, statement: Bound) -> list[Row]:
    _, rows, _ = await unit.fetch_all(_BECOME_AUTH.bind(), statement, _BECOME_APP.bind())
    return rows


async def find_user(unit: UnitOfWork, user_id: UUID) -> User:
    """One user.

    Raises:
        NotFound: no such user here.
    """
    return only(User, await unit.fetch(READ_USER, user_id=user_id), "user")


async def read_me(unit: UnitOfWork, user_id: UUID) -> tuple[Row, Row, UUID | None]:
    """A user, their organization, and the team that they are in now."""
    [user], [organization], teams = await unit.fetch_all(
        READ_USER.bind(user_id=user_id), READ_ORGANIZATION.bind(), _TEAM_OF.bind(user_id=user_id)
    )
    return user, organization, teams[0].team_id if teams else None


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


def begin_sign_in(unit: UnitOfWork, user_id: UUID, *, life: timedelta) -> SignIn:
    """Sign a user in."""
    sign_in = SignIn(id=uuid7(), user_id=user_id, expires_at=unit.now + life, rotated_at=unit.now)
    write(unit, [Change(None, sign_in)], _TABLES)
    return sign_in


async def lock_sign_in(unit: UnitOfWork, session_id: UUID) -> tuple[SignIn, bool] | None:
    """A sign-in, locked, and whether its user is active."""
    rows = await unit.fetch(_LOCK_SIGN_IN, session_id=session_id)
    return (as_state(SignIn, rows[0]), rows[0].is_active) if rows else None


def write_sign_in(unit: UnitOfWork, change: Change[SignIn]) -> None:
    """Queue what was decided."""
    write(unit, [change], _TABLES)


def end(unit: UnitOfWork, *, session_id: UUID) -> None:
    """End one sign-in because its user asks for it; its access tokens die with it."""
    unit.execute(_END_ONE, session_id=session_id, because=Ended.LOGOUT)


def end_all(unit: UnitOfWork, *, user_id: UUID, because: Ended) -> None:
    """End all sign-ins of a user."""
    unit.execute(_END_ALL, user_id=user_id, because=because)
