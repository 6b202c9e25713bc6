"""Signing up, in and on: transactions with a password's work between them, never around it."""

import logging
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.edge.idempotency import IdempotencyKeyReused
from api.edge.security import AccessClaims, RefreshClaims, custom_uuid
from api.edge.services import Services
from api.identity import records, rules
from api.identity.passwords import prove, require_strong
from api.identity.rules import NewUser
from api.identity.schemas import SignedUp, SignIn, SignUp, Tokens
from api.kernel.context import Context
from api.kernel.errors import Unauthenticated
from api.kernel.unit_of_work import UnitOfWork
from api.organizations import records as organizations
from api.organizations.rules import create_organization
from api.organizations.schemas import OrganizationSettings
from api.pipelines.records import make_pipeline
from contracts.access import Role
from contracts.events.envelope import ActorKind

_log = logging.getLogger("sluice.security")
_HOLD_KEY = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('sign-up:' || cast(:organization_id as text), 0))")
)


class WrongCredentials(Unauthenticated):
    """Sign-in failed."""

    code, detail = "wrong_credentials", "E-mail address or password is wrong."


async def sign_up(services: Services, body: SignUp, *, correlation_id: UUID, key: str | None) -> SignedUp:
    """Make an organization with its first user and pipeline.

    Succeeds for a known address too: the slice's charter says why. Repeated with the same `key` it makes no second
    organization but answers another sign-in to the first.

    Raises:
        WeakPassword: the password is easy to guess.
        IdempotencyKeyReused: the key belongs to another sign-up.
    """
    require_strong(body.password, email=body.email)
    password_hash, person_id = await identify(services, body.email, body.password)
    organization_id, user_id = _new_ids(services, body, key)
    context = _context(organization_id, user_id, correlation_id)
    new = NewUser(email=body.email, name=body.name, role=Role.OWNER, id=user_id, person_id=person_id)
    async with services.database.unit(context) as unit:
        earlier = await _signed_up_before(unit, user_id)
        if earlier is None:
            await _make_organization(unit, body, new, password_hash=password_hash)
            tokens = _begin(unit, services, user_id)
    if earlier is not None:
        # proven anew: the earlier attempt may have made the person only after we looked
        if earlier != (await _prove(services, body.email, body.password), body.organization_name):
            raise IdempotencyKeyReused
        async with services.database.unit(context) as unit:
            await unit.begin()
            tokens = _begin(unit, services, user_id)
    return SignedUp(**tokens.model_dump(), organization_id=organization_id, user_id=user_id)


def _new_ids(services: Services, body: SignUp, key: str | None) -> tuple[UUID, UUID]:
    """Ids of the organization and of its owner: with a key always the same, and not to be guessed."""
    if key is None:
        return uuid7(), uuid7()
    made = services.signer.sign("sign-up", f"{rules.spelled(body.email)}\n{key}".encode())
    return custom_uuid(made[:16]), custom_uuid(made[16:])


async def _signed_up_before(unit: UnitOfWork, user_id: UUID) -> tuple[UUID, str] | None:
    """The person and the organization's name of an earlier attempt with the same key; holds it meanwhile."""
    _, users, found = await unit.fetch_all(
        _HOLD_KEY.bind(), records.READ_USER.bind(user_id=user_id), organizations.READ.bind()
    )
    return (users[0].person_id, found[0].name) if users else None


async def _make_organization(unit: UnitOfWork, body: SignUp, new: NewUser, *, password_hash: str) -> None:
    settings = body.model_dump(include=set(OrganizationSettings.model_fields))
    organization_id = unit.context.organization_id
    organization = create_organization(organization_id, unit.now, name=body.organization_name, settings=settings)
    organizations.write_change(unit, organization)
    await records.make_user(unit, new, by=None, password_hash=password_hash)
    make_pipeline(unit)


async def sign_in(services: Services, body: SignIn, *, correlation_id: UUID) -> Tokens:
    """Begin a sign-in.

    Raises:
        WrongCredentials: whatever is wrong, in the same words and after the same work.
    """
    person_id = await _prove(services, body.email, body.password)
    if person_id is None:
        raise WrongCredentials
    async with services.database.reading(None) as unit:
        memberships = await records.memberships_of(unit, person_id=person_id)
    wanted = [found for found in memberships if body.organization_id in {None, found.organization_id}]
    if not wanted:
        raise WrongCredentials
    organization_id, user_id = wanted[0]
    async with services.database.unit(_context(organization_id, user_id, correlation_id)) as unit:
        [user] = await records.lock_users(unit, [user_id])
        if not user.is_active:
            raise WrongCredentials
        records.write_users(unit, [rules.log_in(user, unit.now)])
        return _begin(unit, services, user_id)


async def refresh(services: Services, token: str, *, correlation_id: UUID) -> Tokens:
    """Exchange a refresh token. Commits before it refuses: that a copy was seen must outlive the refusal.

    Raises:
        Unauthenticated: not ours, expired, ended, or used before.
    """
    claims = services.refresh_tokens.read(token)
    grace = services.refresh_tokens.grace
    async with services.database.unit(_context(claims.organization_id, None, correlation_id)) as unit:
        found = await records.lock_sign_in(unit, claims.session_id)
        change = found and rules.refresh(
            found[0], unit.now, generation=claims.generation, is_active=found[1], grace=grace
        )
        if change is not None:
            records.write_sign_in(unit, change)
    if change is None or change.after.revoked_at is not None:
        if change is not None:
            _log.warning("refresh token used again", extra={"fields": {"session_id": claims.session_id}})
        raise Unauthenticated("This sign-in has ended. Sign in again.")
    return _tokens(services, claims.organization_id, change.after)


async def identify(services: Services, email: str, password: str) -> tuple[str, UUID | None]:
    """The password's hash, for a new person, and the person who has address and password already, if any.

    Does the same work in both cases.
    """
    person_id = await _prove(services, email, password)
    return await services.passwords.hash(password), person_id


async def _prove(services: Services, email: str, password: str) -> UUID | None:
    """The person who has this address and password."""
    async with services.database.reading(None) as unit:
        credentials = await records.credentials_of(unit, email=email)
    return await prove(services.passwords, credentials, password=password)


def _context(organization_id: UUID, user_id: UUID | None, correlation_id: UUID) -> Context:
    return Context(
        organization_id=organization_id, actor=ActorKind.USER, actor_id=user_id, correlation_id=correlation_id
    )


def _begin(unit: UnitOfWork, services: Services, user_id: UUID) -> Tokens:
    sign_in = records.begin_sign_in(unit, user_id, life=services.refresh_tokens.life)
    return _tokens(services, unit.context.organization_id, sign_in)


def _tokens(services: Services, organization_id: UUID, sign_in: rules.SignIn) -> Tokens:
    """The tokens of a sign-in as it stands."""
    access = AccessClaims(organization_id, sign_in.user_id, sign_in.id)
    return Tokens(
        access_token=services.access_tokens.issue(access, now=datetime.now(UTC)),
        refresh_token=services.refresh_tokens.issue(RefreshClaims(organization_id, sign_in.id, sign_in.generation)),
        expires_in=services.access_tokens.seconds,
    )
