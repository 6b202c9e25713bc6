"""Signing up and signing in."""

from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.edge.idempotency import IdempotencyKeyReused
from api.edge.security import custom_uuid
from api.edge.services import Services
from api.identity import people, sessions
from api.identity.password_policy import require_strong
from api.identity.schemas import SignedUp, SignIn, SignUp, Tokens
from api.identity.users import NewUser, create_user
from api.kernel.context import Context
from api.kernel.errors import Unauthenticated
from api.kernel.event_log import append
from api.models.user import User
from api.organizations.schemas import OrganizationSettings
from api.organizations.service import create_organization, read_organization
from api.pipelines.service import create_default_pipeline
from contracts import locks
from contracts.access import Role
from contracts.events.envelope import ActorKind
from contracts.events.identity import UserLoggedIn

_HOLD_KEY = text(f"select pg_advisory_xact_lock(hashtextextended('{locks.SIGN_UP}' || :key, 0))")


async def sign_up(services: Services, body: SignUp, *, correlation_id: UUID, key: str | None) -> SignedUp:
    """Make an organization with its first user and pipeline.

    Succeeds for a known address too: the slice's charter says why. Repeated with the same `key` it makes no second
    organization but answers another sign-in to the first.

    Raises:
        WeakPassword: the password is easy to guess.
        IdempotencyKeyReused: the key belongs to another sign-up.
    """
    require_strong(body.password, email=body.email)
    async with services.database.transaction() as session:
        credentials = await people.credentials_of(session, email=body.email)
    person_id, password_hash = await people.identify(services.passwords, credentials, password=body.password)
    organization_id, user_id = _new_ids(services, body, key)
    context = Context(
        organization_id=organization_id, actor=ActorKind.USER, actor_id=user_id, correlation_id=correlation_id
    )
    async with services.database.transaction(organization_id) as session:
        user = await _signed_up_before(session, services, body, context) if key is not None else None
        if user is None:
            new = NewUser(email=body.email, name=body.name, role=Role.OWNER, id=user_id, person_id=person_id)
            user = await _make_organization(session, context, body, new, password_hash=password_hash)
        tokens = await sessions.begin(session, services, user=user)
    return SignedUp(**tokens.model_dump(), organization_id=organization_id, user_id=user.id)


def _new_ids(services: Services, body: SignUp, key: str | None) -> tuple[UUID, UUID]:
    """Ids of the organization and of its owner: with a key always the same, and not to be guessed."""
    if key is None:
        return uuid7(), uuid7()
    made = services.signer.sign("sign-up", f"{body.email.lower()}\n{key}".encode())
    return custom_uuid(made[:16]), custom_uuid(made[16:])


async def _signed_up_before(session: AsyncSession, services: Services, body: SignUp, context: Context) -> User | None:
    """The owner that an earlier attempt with the same key made, if this is the same attempt."""
    await session.execute(_HOLD_KEY, {"key": str(context.organization_id)})
    query = select(User).where(User.organization_id == context.organization_id, User.id == context.actor_id)
    user = (await session.execute(query)).scalar_one_or_none()
    if user is None:
        return None
    credentials = await people.credentials_of(session, email=body.email)
    person_id = await people.prove(services.passwords, credentials, password=body.password)
    organization = await read_organization(session, context)
    if (person_id, organization.name) != (user.person_id, body.organization_name):
        raise IdempotencyKeyReused
    return user


async def _make_organization(
    session: AsyncSession, context: Context, body: SignUp, new: NewUser, *, password_hash: str
) -> User:
    settings = OrganizationSettings(**body.model_dump(include=set(OrganizationSettings.model_fields)))
    await create_organization(session, context, name=body.organization_name, settings=settings)
    user = await create_user(session, context, new, password_hash=password_hash)
    await create_default_pipeline(session, context)
    return user


async def sign_in(services: Services, body: SignIn, *, correlation_id: UUID) -> Tokens:
    """Begin a sign-in. The password is compared between two short transactions: hashing holds no connection.

    Raises:
        Unauthenticated: whatever is wrong, in the same words and after the same work.
    """
    async with services.database.transaction() as session:
        credentials = await people.credentials_of(session, email=body.email)
    person_id = await people.prove(services.passwords, credentials, password=body.password)
    if person_id is None:
        raise _Refused
    async with services.database.transaction() as session:
        memberships = await people.memberships_of(session, person_id=person_id)
    wanted = [found for found in memberships if body.organization_id in {None, found.organization_id}]
    if not wanted:
        raise _Refused
    context = Context(
        organization_id=wanted[0].organization_id,
        actor=ActorKind.USER,
        actor_id=wanted[0].user_id,
        correlation_id=correlation_id,
    )
    async with services.database.transaction(context.organization_id) as session:
        query = select(User).where(
            User.organization_id == context.organization_id, User.id == context.actor_id, User.is_active
        )
        user = (await session.execute(query.with_for_update())).scalar_one_or_none()
        if user is None:
            raise _Refused
        await append(session, UserLoggedIn(), context=context, aggregate=user)
        return await sessions.begin(session, services, user=user)


class _Refused(Unauthenticated):
    """Sign-in failed."""

    code = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("E-mail address or password is wrong.")
