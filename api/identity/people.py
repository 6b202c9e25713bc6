"""People: found and made under the role that sees across organizations. Nothing of them leaves this slice."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.db.session import across_organizations
from api.edge.security import Passwords
from api.models.person import Person
from api.models.user import User

#: More registrations of one address than this are not tried at a sign-in. The oldest come first, so whoever registers
#: another's address later cannot lock its owner out.
_MOST_TRIED = 5


@dataclass(frozen=True)
class Credential:
    """One registration of an e-mail address."""

    person_id: UUID
    password_hash: str | None


@dataclass(frozen=True)
class Membership:
    """A user that a person is."""

    organization_id: UUID
    user_id: UUID


async def credentials_of(session: AsyncSession, *, email: str) -> list[Credential]:
    """Registrations of an address that have a password, oldest first."""
    query = (
        select(Person.id, Person.password_hash)
        .where(func.lower(Person.email) == email.lower(), Person.password_hash.is_not(None))
        .order_by(Person.created_at, Person.id)
        .limit(_MOST_TRIED)
    )
    async with across_organizations(session):
        return [Credential(row.id, row.password_hash) for row in await session.execute(query)]


async def prove(passwords: Passwords, credentials: Iterable[Credential], *, password: str) -> UUID | None:
    """The person whose password this is. Takes one hash's work also where there is nobody to compare with."""
    tried = False
    for credential in credentials:
        tried = True
        if await passwords.verify(password, credential.password_hash):
            return credential.person_id
    if not tried:
        await passwords.verify(password, None)
    return None


async def identify(
    passwords: Passwords, credentials: Iterable[Credential], *, password: str
) -> tuple[UUID | None, str]:
    """The person who has this address and password already, if any; and the password's hash, for a new person.

    Does the same work in both cases.
    """
    person_id = await prove(passwords, credentials, password=password)
    return person_id, await passwords.hash(password)


async def memberships_of(session: AsyncSession, *, person_id: UUID) -> list[Membership]:
    """Active memberships of a person, oldest first."""
    query = (
        select(User.organization_id, User.id)
        .where(User.person_id == person_id, User.is_active)
        .order_by(User.created_at, User.id)
    )
    async with across_organizations(session):
        return [Membership(row.organization_id, row.id) for row in await session.execute(query)]


async def create_person(session: AsyncSession, *, email: str, name: str, password_hash: str | None) -> UUID:
    """Register an address."""
    person = Person(id=uuid7(), email=email, name=name, password_hash=password_hash)
    async with across_organizations(session):
        session.add(person)
    return person.id


async def set_password(session: AsyncSession, *, person_id: UUID, password_hash: str) -> bool:
    """Give a person another password. False, and nothing done, where they belong to several organizations."""
    async with across_organizations(session):
        count = select(func.count()).select_from(User).where(User.person_id == person_id)
        if (await session.execute(count)).scalar_one() > 1:
            return False
        await session.execute(update(Person).where(Person.id == person_id).values(password_hash=password_hash))
    return True
