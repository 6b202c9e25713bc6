"""Signing in by what a provider vouches for: never into an account that has not said itself that this is its own.

An account is known by (issuer, subject). A verified address alone opens nothing: it only says which account may link
the identity, after it has signed in by its own means. A second factor is asked for as after a password.
"""

import time
from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel

from api.edge.oidc import Providers, TicketNotGood, Vouched
from api.edge.services import Services
from api.identity import people, records
from api.identity.schemas import OidcAnswer, OidcStep, Tokens
from api.identity.sign_in import Client, WrongCredentials, enter, require_allowed, show_second_factor
from api.kernel.auditing import note
from api.kernel.caller import Caller
from api.kernel.errors import Conflict, Forbidden
from api.kernel.unit_of_work import UnitOfWork
from contracts.addresses import spelled

_SECONDS = 900


class NobodyVouchedFor(Forbidden):
    """The provider knows this person, and no account here is theirs."""

    code = "nobody_vouched_for"
    detail = "No account here belongs to this sign-in. Ask for an invitation, or sign up first."


class IdentityTaken(Conflict):
    """Another account is linked with this identity."""

    code, detail = "identity_taken", "Another account is linked with this identity already."


class IdentityOfAnother(Forbidden):
    """The identity's verified address is not this account's."""

    code = "identity_of_another"
    detail = "The provider knows this identity by another address than yours. Sign in as whoever has that address."


class _Kept(BaseModel):
    """What is to be gone on with: a person who lacks a code, or an identity that waits to be linked."""

    issuer: str
    subject: str
    email: str | None = None
    person_id: UUID | None = None
    expires_at: int


async def finish(services: Services, vouched: Vouched, client: Client) -> OidcAnswer:
    """What comes of a sign-in that a provider vouched for.

    Raises:
        NobodyVouchedFor: as it says.
    """
    await require_allowed(services, client)
    async with services.database.reading(None) as unit:
        person_id = await people.by_identity(unit, issuer=vouched.issuer, subject=vouched.subject)
        factor = await people.factor_of(unit, person_id) if person_id else None
        known = await people.of_address(unit, spelled(vouched.email)) if vouched.email and not person_id else []
    if person_id is None:
        if not known:
            raise NobodyVouchedFor
        return OidcAnswer(step=OidcStep.LINK, token=_keep(services.providers, vouched), tokens=None)
    if factor is not None and factor.confirmed_at is not None:
        token = _keep(services.providers, vouched, person_id)
        return OidcAnswer(step=OidcStep.SECOND_FACTOR, token=token, tokens=None)
    tokens = await _enter(services, person_id, client, has_second_factor=False)
    return OidcAnswer(step=OidcStep.DONE, token=None, tokens=tokens)


async def go_on(services: Services, token: str, code: str, client: Client) -> Tokens:
    """Sign in with the second factor that a provider's sign-in still lacked.

    Raises:
        TicketNotGood, WrongCredentials, RateLimited: as they say.
    """
    kept = _kept(services.providers, "second-factor", token)
    if kept.person_id is None:
        raise TicketNotGood
    has_factor = await show_second_factor(services, kept.person_id, code, client)
    async with services.database.reading(None) as unit:  # unlinked meanwhile?
        if await people.by_identity(unit, issuer=kept.issuer, subject=kept.subject) != kept.person_id:
            raise TicketNotGood
    return await _enter(services, kept.person_id, client, has_second_factor=has_factor)


async def link(unit: UnitOfWork, providers: Providers, caller: Caller, token: str) -> None:
    """Link an identity with the account that has signed in by its own means.

    Raises:
        TicketNotGood, IdentityOfAnother, IdentityTaken: as they say.
    """
    kept = _kept(providers, "link", token)
    user = await records.find_user(unit, caller.user_id)
    proven = await people.proven_addresses(unit, user.person_id)
    if kept.email is None or spelled(kept.email) not in {user.email, *proven}:
        raise IdentityOfAnother
    added = await people.add_identity(unit, issuer=kept.issuer, subject=kept.subject, person_id=user.person_id)
    if not added and await people.by_identity(unit, issuer=kept.issuer, subject=kept.subject) != user.person_id:
        raise IdentityTaken
    note(unit, "user.identity_linked", resource="user", resource_id=user.id, after={"issuer": kept.issuer})


async def _enter(services: Services, person_id: UUID, client: Client, *, has_second_factor: bool) -> Tokens:
    async with services.database.reading(None) as unit:
        memberships = await people.memberships_of(unit, person_id=person_id)
    if not memberships:
        raise WrongCredentials("You are a member of no organization any more.")
    return await enter(services, memberships[0], client, has_second_factor=has_second_factor)


def _keep(providers: Providers, vouched: Vouched, person_id: UUID | None = None) -> str:
    kept = _Kept(
        issuer=vouched.issuer,
        subject=vouched.subject,
        email=vouched.email,
        person_id=person_id,
        expires_at=int(datetime.now(UTC).timestamp()) + _SECONDS,
    )
    return providers.seal("second-factor" if person_id else "link", kept.model_dump_json())


def _kept(providers: Providers, purpose: str, token: str) -> _Kept:
    kept = _Kept.model_validate_json(providers.unseal(purpose, token))
    if kept.expires_at <= time.time():
        raise TicketNotGood
    return kept
