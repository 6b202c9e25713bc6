"""Signing up, in and on: transactions with a password's work between them, never around it."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.edge.idempotency import IdempotencyKeyReused
from api.edge.limits import Allowance
from api.edge.security import AccessClaims, RefreshClaims, custom_uuid, salt_of
from api.edge.services import Services
from api.identity import people, records, rules
from api.identity.passwords import require_strong
from api.identity.rules import NewUser
from api.identity.schemas import SignedUp, SignIn, SignUp, Tokens
from api.identity.second_factor import SecondFactorNeeded, use_code
from api.kernel.auditing import note
from api.kernel.context import Context
from api.kernel.errors import Unauthenticated
from api.kernel.unit_of_work import Row, UnitOfWork
from api.organizations import records as organizations
from api.organizations.rules import create_organization
from api.organizations.schemas import OrganizationSettings
from api.pipelines.records import make_pipeline
from contracts.access import Role
from contracts.addresses import spelled
from contracts.events.envelope import ActorKind

_log = logging.getLogger("sluice.security")
_HOLD_KEY = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('sign-up:' || cast(:organization_id as text), 0))")
)
#: From one network address: sign-ins, sign-ups, lost passwords.
FROM_ADDRESS = Allowance("sign-in-address", per_minute=60, burst=60)
#: For one account from one place, and from all places that it never signed in from: so whoever attacks an account from
#: elsewhere uses up an allowance that its owner does not need.
_HERE, _ELSEWHERE = Allowance("account-here", 10, 10), Allowance("account-elsewhere", 10, 20)
#: One-time codes of one account, for whoever has the right password.
CODES = Allowance("code", per_minute=4, burst=6)


class WrongCredentials(Unauthenticated):
    """Sign-in failed."""

    code, detail = "wrong_credentials", "E-mail address or password is wrong."


@dataclass(frozen=True)
class Client:
    """From where somebody signs in."""

    correlation_id: UUID
    address: str | None = None
    user_agent: str | None = None

    def context(self, organization_id: UUID, user_id: UUID | None) -> Context:
        """The context of what they do in an organization."""
        return Context(
            organization_id=organization_id,
            actor=ActorKind.USER,
            actor_id=user_id,
            correlation_id=self.correlation_id,
            address=self.address,
        )


async def sign_up(services: Services, body: SignUp, client: Client, *, key: str | None) -> SignedUp:
    """Make an organization with its first user and pipeline.

    Succeeds for a known address too: the slice's charter says why. Repeated with the same `key` it makes no second
    organization but answers another sign-in to the first.

    Raises:
        WeakPassword: the password is easy to guess.
        IdempotencyKeyReused: the key belongs to another sign-up.
    """
    await require_allowed(services, client)
    require_strong(body.password, email=body.email)
    password_hash, person_id = await identify(services, body.email, body.password)
    organization_id, user_id = _new_ids(services, body, key)
    context = client.context(organization_id, user_id)
    new = NewUser(email=body.email, name=body.name, role=Role.OWNER, id=user_id, person_id=person_id)
    async with services.database.unit(context) as unit:
        earlier = await _signed_up_before(unit, user_id)
        if earlier is None:
            await _make_organization(unit, body, new, password_hash=password_hash)
            tokens = begin(unit, services, user_id, client)
    if earlier is not None:
        # proven anew: the earlier attempt may have made the person only after we looked
        if earlier != (await _prove(services, body.email, body.password), body.organization_name):
            raise IdempotencyKeyReused
        async with services.database.unit(context) as unit:
            await unit.begin()
            tokens = begin(unit, services, user_id, client)
    return SignedUp(**tokens.model_dump(), organization_id=organization_id, user_id=user_id)


def _new_ids(services: Services, body: SignUp, key: str | None) -> tuple[UUID, UUID]:
    """Ids of the organization and of its owner: with a key always the same, and not to be guessed."""
    if key is None:
        return uuid7(), uuid7()
    made = services.signer.sign("sign-up", f"{spelled(body.email)}\n{key}".encode())
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


async def sign_in(services: Services, body: SignIn, client: Client) -> Tokens:
    """Begin a sign-in.

    Raises:
        WrongCredentials: whatever is wrong, in the same words and after the same work.
        SecondFactorNeeded: the password is right, and the person has a second factor.
        RateLimited: too many attempts, of this account or from this address.
    """
    email = spelled(body.email)
    await _require_allowed_for(services, email, client)
    person_id = await _prove(services, email, body.password)
    if person_id is None:
        await _note_failure(services, email, client)
        raise WrongCredentials
    has_factor = await show_second_factor(services, person_id, body.code, client)
    async with services.database.reading(None) as unit:
        memberships = await people.memberships_of(unit, person_id=person_id)
    wanted = [found for found in memberships if body.organization_id in {None, found.organization_id}]
    if not wanted:
        raise WrongCredentials
    return await enter(services, wanted[0], client, has_second_factor=has_factor)


async def enter(services: Services, membership: Row, client: Client, *, has_second_factor: bool) -> Tokens:
    """Begin a sign-in of somebody who is proven, in one of their organizations.

    Raises:
        WrongCredentials: they were disabled a moment ago.
    """
    organization_id, user_id = membership.organization_id, membership.user_id
    async with services.database.unit(client.context(organization_id, user_id)) as unit:
        [user] = await records.lock_users(unit, [user_id])
        if not user.is_active:
            raise WrongCredentials
        records.note_sign_in(unit, user)
        return begin(unit, services, user_id, client, has_second_factor=has_second_factor)


async def show_second_factor(services: Services, person_id: UUID, code: str | None, client: Client) -> bool:
    """Whether the person has a second factor, which `code` then shows.

    Raises:
        SecondFactorNeeded: there is one, and no code.
        WrongCredentials, RateLimited: as they say.
    """
    async with services.database.reading(None) as unit:
        factor = await people.factor_of(unit, person_id)
    if factor is None or factor.confirmed_at is None:
        return False
    if code is None:
        raise SecondFactorNeeded
    await services.limiter.take(CODES.of(str(person_id)), is_sign_in=True)
    async with services.database.unit(None) as unit:
        if not await use_code(unit, services.vault, person_id, sealed=factor.sealed, code=code):
            _log.warning("wrong one-time code", extra={"fields": {"address": client.address}})
            raise WrongCredentials("The code is wrong, or was used before.")
    return True


async def refresh(services: Services, token: str, client: Client) -> Tokens:
    """Exchange a refresh token. Commits before it refuses: that a copy was seen must outlive the refusal.

    Raises:
        Unauthenticated: not ours, expired, ended, or used before.
    """
    claims = services.refresh_tokens.read(token)
    grace = services.refresh_tokens.grace
    async with services.database.unit(client.context(claims.organization_id, None)) as unit:
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
    email = spelled(email)
    password_hash = await services.passwords.hash(password, email=email)
    async with services.database.reading(None) as unit:
        return password_hash, await people.by_hash(unit, email=email, password_hash=password_hash)


async def _prove(services: Services, email: str, password: str) -> UUID | None:
    """The person who has this address and password."""
    password_hash, person_id = await identify(services, email, password)
    if person_id is not None:
        return person_id
    async with services.database.reading(None) as unit:
        others = await people.otherwise_salted(unit, email=spelled(email), salt=salt_of(password_hash))
    for other in others:
        if await services.passwords.verify(password, other.password_hash):
            async with services.database.unit(None) as unit:
                await people.set_password(unit, person_id=other.id, password_hash=password_hash, because=None)
            found: UUID = other.id
            return found
    return None


async def require_allowed(services: Services, client: Client) -> None:
    """Insist that not too many come from this network address.

    Raises:
        RateLimited: as it says.
    """
    if services.settings.limits_are_on:
        await services.limiter.take(FROM_ADDRESS.of(client.address or ""), is_sign_in=True)


async def _require_allowed_for(services: Services, email: str, client: Client) -> None:
    if not services.settings.limits_are_on:
        return
    async with services.database.reading(None) as unit:
        is_known = await people.knows_address(unit, email=email, address=client.address)
    account = _HERE.of(f"{email}\n{client.address}") if is_known else _ELSEWHERE.of(email)
    await services.limiter.take(FROM_ADDRESS.of(client.address or ""), account, is_sign_in=True)


async def _note_failure(services: Services, email: str, client: Client) -> None:
    """Tell the organizations that have such a user."""
    _log.warning("sign-in failed", extra={"fields": {"address": client.address}})
    async with services.database.reading(None) as unit:
        places = await people.places_of(unit, email)
    for place in places:
        async with services.database.unit(client.context(place.organization_id, None)) as unit:
            await unit.begin()
            note(unit, "sign_in.failed", resource="user", resource_id=place.user_id)


def begin(
    unit: UnitOfWork, services: Services, user_id: UUID, client: Client, *, has_second_factor: bool = False
) -> Tokens:
    """Sign a user in: the tokens of a new sign-in."""
    made = records.begin_sign_in(
        unit,
        user_id,
        life=services.refresh_tokens.life,
        user_agent=client.user_agent,
        has_second_factor=has_second_factor,
    )
    return _tokens(services, unit.context.organization_id, made)


def _tokens(services: Services, organization_id: UUID, sign_in: rules.SignIn) -> Tokens:
    """The tokens of a sign-in as it stands."""
    access = AccessClaims(organization_id, sign_in.user_id, sign_in.id)
    return Tokens(
        access_token=services.access_tokens.issue(access, now=datetime.now(UTC)),
        refresh_token=services.refresh_tokens.issue(RefreshClaims(organization_id, sign_in.id, sign_in.generation)),
        expires_in=services.access_tokens.seconds,
    )
