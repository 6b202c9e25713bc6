"""`/v1/auth/oidc`, `/v1/me/identities`: signing in by other providers, and linking them with one's account.

What these answer is kept for no Idempotency-Key, because it answers tokens.
"""

from typing import Annotated

from fastapi import Path, Response

from api.edge import oidc
from api.edge.dependencies import CurrentCaller, Unit
from api.edge.pages import PageOf
from api.edge.routing import problems, slice_router
from api.identity import oidc_sign_in, people, records
from api.identity.callers import TheClient, TheServices
from api.identity.schemas import (
    IdentityLink,
    IdentityRead,
    IdentityRemoval,
    OidcAnswer,
    OidcBegin,
    OidcBegun,
    OidcContinuation,
    OidcReturn,
    ProviderRead,
    Tokens,
)
from api.identity.sign_in import WrongCredentials, require_allowed
from api.kernel.auditing import note

auth_router = slice_router(prefix="/auth/oidc", tags=["sign-in"])
me_router = slice_router(prefix="/me/identities", tags=["users"])

_Key = Annotated[str, Path(max_length=40, pattern="^[a-z0-9-]+$", examples=["google"])]


@auth_router.get("")
async def list_sign_in_providers(services: TheServices) -> PageOf[ProviderRead]:
    """The providers that one may sign in by here."""
    found = [ProviderRead(key=one.key, label=one.label) for one in services.providers]
    return PageOf(items=found, next_cursor=None)


@auth_router.post(
    "/{provider}/begin",
    responses=problems(oidc.RedirectNotAllowed, oidc.ProviderUnavailable, oidc.ProviderRefused),
)
async def begin_provider_sign_in(
    provider: _Key, body: OidcBegin, services: TheServices, client: TheClient
) -> OidcBegun:
    """Where to send the browser. It keeps the ticket (in a cookie of its own) and brings it back with the code."""
    await require_allowed(services, client)
    url, ticket = await services.providers.begin(provider, body.redirect_uri)
    return OidcBegun(authorization_url=url, ticket=ticket)


@auth_router.post(
    "/return",
    responses=problems(
        oidc.TicketNotGood,
        oidc.ProviderRefused,
        oidc.ProviderUnavailable,
        oidc_sign_in.NobodyVouchedFor,
        WrongCredentials,
    ),
)
async def finish_provider_sign_in(body: OidcReturn, services: TheServices, client: TheClient) -> OidcAnswer:
    """What the browser came back with. `step` says what is left to do: nothing, a second factor, or to link it."""
    vouched = await services.providers.finish(body.ticket, state=body.state, code=body.code, issuer=body.iss)
    return await oidc_sign_in.finish(services, vouched, client)


@auth_router.post("/second-factor", responses=problems(oidc.TicketNotGood, WrongCredentials))
async def show_provider_second_factor(body: OidcContinuation, services: TheServices, client: TheClient) -> Tokens:
    """Sign in with the code that the account asks for beside the provider."""
    return await oidc_sign_in.go_on(services, body.token, body.code, client)


@me_router.get("")
async def list_my_identities(caller: CurrentCaller, unit: Unit) -> PageOf[IdentityRead]:
    """The providers' identities that are linked with one's account."""
    user = await records.find_user(unit, caller.user_id)
    found = await people.identities_of(unit, user.person_id)
    return PageOf(items=[IdentityRead.model_validate(one) for one in found], next_cursor=None)


@me_router.post(
    "",
    status_code=204,
    response_class=Response,
    responses=problems(oidc.TicketNotGood, oidc_sign_in.IdentityOfAnother, oidc_sign_in.IdentityTaken),
)
async def link_identity(body: IdentityLink, caller: CurrentCaller, unit: Unit, services: TheServices) -> None:
    """Link the identity of a sign-in that waits for it (`step` was `link`) with one's account."""
    await oidc_sign_in.link(unit, services.providers, caller, body.token)


@me_router.post("/remove", status_code=204, response_class=Response)
async def unlink_identity(body: IdentityRemoval, caller: CurrentCaller, unit: Unit) -> None:
    """Do without an identity again. Nothing happens where it is not linked."""
    user = await records.find_user(unit, caller.user_id)
    await people.drop_identity(unit, issuer=body.issuer, subject=body.subject, person_id=user.person_id)
    note(unit, "user.identity_unlinked", resource="user", resource_id=user.id, before={"issuer": body.issuer})


routers = (auth_router, me_router)
