"""`/v1/auth`, `/v1/me` and `/v1/users`.

What `/v1/auth` answers is kept for no Idempotency-Key, because it answers tokens: a repeated sign-up finds its
organization again, a repeated sign-in is another sign-in, a repeated refresh gets the same token, a repeated sign-out
finds nothing to end.
"""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Response
from uuid_utils.compat import uuid7

from api.edge.dependencies import Administrator, Claims, CurrentCaller, IfMatch, SignedIn, Unit
from api.edge.entitlements import Limit, PlanLimitReached, require_room
from api.edge.idempotency import HEADER, IdempotencyKeyReused
from api.edge.limits import RateLimited
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.edge.security import AccessClaims
from api.identity import account, invitations, links, oidc_endpoints, people, records, roles, rules, sign_in
from api.identity.callers import TheClient, TheServices
from api.identity.passwords import WeakPassword, require_strong
from api.identity.proofs import LinkNotGood
from api.identity.schemas import (
    Address,
    Link,
    MeRead,
    NewPasswordByLink,
    Refresh,
    SignedUp,
    SignIn,
    SignUp,
    Tokens,
    UserCreate,
    UserRead,
    UserUpdate,
    user_answer,
)
from api.identity.second_factor import SecondFactorNeeded
from api.kernel.changes import expect
from api.kernel.context import Context
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired, Unauthenticated
from api.kernel.unit_of_work import UnitOfWork
from api.organizations.schemas import OrganizationRead
from contracts.access import Role
from contracts.events.envelope import ActorKind

auth_router = slice_router(prefix="/auth", tags=["sign-in"])
me_router = slice_router(prefix="/me", tags=["users"])
users_router = slice_router(prefix="/users", tags=["users"])


_IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=HEADER, min_length=1, max_length=255, description="Repeated with the same key, no second organization."
    ),
]


@auth_router.post("/signup", status_code=201, responses=problems(WeakPassword, IdempotencyKeyReused))
async def sign_up(
    body: SignUp, services: TheServices, client: TheClient, idempotency_key: _IdempotencyKey = None
) -> SignedUp:
    """Make an organization; its first user is its owner, its first pipeline may be changed at will."""
    return await sign_in.sign_up(services, body, client, key=idempotency_key)


@auth_router.post("/login", responses=problems(Unauthenticated, SecondFactorNeeded, RateLimited))
async def log_in(body: SignIn, services: TheServices, client: TheClient) -> Tokens:
    """Begin a sign-in."""
    return await sign_in.sign_in(services, body, client)


@auth_router.post("/refresh", responses=problems(Unauthenticated))
async def refresh_sign_in(body: Refresh, services: TheServices, client: TheClient) -> Tokens:
    """Exchange a refresh token for new tokens. Repeat with the same token if the answer was lost."""
    return await sign_in.refresh(services, body.refresh_token, client)


@auth_router.post("/password/forgotten", status_code=202, response_class=Response, responses=problems(RateLimited))
async def ask_for_password_link(body: Address, services: TheServices, client: TheClient) -> None:
    """Have a link sent by which whoever reads the mail sets a new password. The answer is the same for any address."""
    await sign_in.require_allowed(services, client)
    await links.mail_password_links(services, body.email)


@auth_router.post(
    "/password", status_code=204, response_class=Response, responses=problems(LinkNotGood, WeakPassword, RateLimited)
)
async def set_password_by_link(body: NewPasswordByLink, services: TheServices, client: TheClient) -> None:
    """Set a new password by the link from a mail. All sign-ins end; the address is proven."""
    await sign_in.require_allowed(services, client)
    await links.set_password(services, body.token, body.password)


@auth_router.post("/address", status_code=204, response_class=Response, responses=problems(LinkNotGood, RateLimited))
async def prove_address(body: Link, services: TheServices, client: TheClient) -> None:
    """Show by the link from a mail that its address is one's own."""
    await sign_in.require_allowed(services, client)
    await links.prove_address(services, body.token)


@auth_router.post("/logout", status_code=204, response_class=Response)
async def log_out(caller: CurrentCaller, unit: Unit) -> None:
    """End this sign-in; its tokens die at once."""
    records.end(unit, session_id=caller.session_id)


@me_router.get("")
async def read_me(signed_in: SignedIn, unit: Unit) -> MeRead:
    """Who is signed in, and to which organization."""
    user, organization, team_id = await records.read_me(unit, signed_in.user_id)
    return MeRead(
        **user_answer(user).model_dump(),
        organization=OrganizationRead.model_validate(organization),
        team_id=team_id,
    )


@users_router.get("")
async def list_users(
    caller: CurrentCaller, page: Page, unit: Unit, is_active: bool | None = None, role: Role | None = None
) -> PageOf[UserRead]:
    """Users of the organization, oldest first."""
    given = {"is_active": is_active, "role": role}
    found, next_cursor = await read_page(unit, records.USERS, given, page=page)
    return PageOf(items=[user_answer(user) for user in found], next_cursor=next_cursor)


@dataclass(frozen=True)
class _Secret:
    """The hash of a password that a body sets, and the person who has address and password already."""

    password_hash: str | None = None
    person_id: UUID | None = None


# Dependencies that come before the caller: nobody holds a connection while a password is hashed.
async def _secret_of_new_user(body: UserCreate, services: TheServices, _claims: Claims) -> _Secret:
    if body.password is None:
        return _Secret()
    require_strong(body.password, email=body.email)
    return _Secret(*await sign_in.identify(services, body.email, body.password))


async def _secret_of_change(user_id: UUID, body: UserUpdate, services: TheServices, claims: Claims) -> _Secret:
    if not body.password:
        return _Secret()
    async with services.database.reading(_inside(claims)) as unit:
        found = await records.look_for_user(unit, user_id)
    return _Secret(await services.passwords.hash(body.password, email=found.email)) if found else _Secret()


def _inside(claims: AccessClaims) -> Context:
    return Context(organization_id=claims.organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())


@users_router.post(
    "", status_code=201, responses=problems(rules.OwnersAreForOwners, rules.EmailTaken, WeakPassword, PlanLimitReached)
)
async def create_user(
    body: UserCreate,
    secret: Annotated[_Secret, Depends(_secret_of_new_user)],
    services: TheServices,
    caller: Administrator,
    unit: Unit,
) -> UserRead:
    """Make a user."""
    await require_room(unit, services.billing, Limit.SEATS)
    new = rules.NewUser(**body.model_dump(exclude={"password"}), person_id=secret.person_id)
    user = await records.make_user(unit, new, by=caller.role, password_hash=secret.password_hash)
    return user_answer(user)


@users_router.get("/{user_id}", responses=problems(NotFound))
async def read_user(user_id: UUID, caller: CurrentCaller, unit: Unit) -> UserRead:
    """One user."""
    return user_answer(await records.find_user(unit, user_id))


@users_router.patch(
    "/{user_id}",
    responses=problems(
        rules.OwnersAreForOwners,
        NotFound,
        rules.LastOwner,
        rules.PasswordNotYours,
        PreconditionFailed,
        WeakPassword,
        PlanLimitReached,
        PreconditionRequired,
    ),
)
async def update_user(
    user_id: UUID,
    body: UserUpdate,
    secret: Annotated[_Secret, Depends(_secret_of_change)],
    services: TheServices,
    caller: Administrator,
    if_match: IfMatch,
    unit: Unit,
) -> UserRead:
    """Change a user's name, role, record scope or password, or disable them: then all their sign-ins end."""
    sent = body.model_dump(exclude_unset=True)
    password = sent.pop("password", None)
    locked = await records.lock_users(unit, [user_id], with_owners=bool({"role", "is_active"} & sent.keys()))
    user = expect(next((one for one in locked if one.id == user_id), None), "user")
    if user.shown_version != if_match:
        raise PreconditionFailed
    if sent.get("is_active") and not user.is_active:
        await require_room(unit, services.billing, Limit.SEATS)
    if password is not None:
        require_strong(password, email=user.email)
    change = rules.update_user(
        user,
        unit.now,
        changes=sent,
        by=caller.role,
        has_other_owner=len(locked) > 1,
        has_new_password=password is not None,
    )
    if change is None:
        return user_answer(user)
    if secret.password_hash is not None:
        await _set_password(unit, user, secret.password_hash)
    if not change.after.is_active:
        records.end_all(unit, user_id=user_id, because=rules.Ended.DISABLED)
    records.write_users(unit, [change])
    return user_answer(change.after)


async def _set_password(unit: UnitOfWork, user: rules.User, password_hash: str) -> None:
    if not await people.set_password_by_others(unit, person_id=user.person_id, password_hash=password_hash):
        raise rules.PasswordNotYours
    records.end_all(unit, user_id=user.id, because=rules.Ended.PASSWORD)


routers = (
    auth_router,
    me_router,
    users_router,
    *account.routers,
    *oidc_endpoints.routers,
    invitations.router,
    invitations.accept_router,
    roles.router,
)
