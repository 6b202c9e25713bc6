"""`/v1/me` beyond reading it, `/v1/sessions`: what people do with their own password, second factor and sign-ins."""

from dataclasses import replace
from uuid import UUID

from fastapi import Request, Response

from api.edge.dependencies import Claims, CurrentCaller, Unit, wanted_by
from api.edge.pages import Page, PageOf, read_page
from api.edge.permissions import ADMINISTRATORS
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.identity import links, people, records, rules, second_factor
from api.identity.callers import TheClient, TheServices
from api.identity.passwords import WeakPassword, require_strong
from api.identity.schemas import (
    Code,
    LimitRead,
    Membership,
    PasswordChange,
    RecoveryCodes,
    SecondFactorSeed,
    SessionRead,
    Switch,
    Tokens,
)
from api.identity.sign_in import enter, identify
from api.kernel.auditing import note
from api.kernel.caller import Caller
from api.kernel.changes import Change
from api.kernel.errors import Conflict, NotFound, Unprocessable
from api.kernel.unit_of_work import Row, UnitOfWork
from contracts.addresses import spelled

me_router = slice_router(prefix="/me", tags=["users"])
sessions_router = slice_router(prefix="/sessions", tags=["sign-in"])
switch_router = slice_router(prefix="/auth", tags=["sign-in"])


class WrongPassword(Unprocessable):
    """The present password is another one."""

    code, detail, pointer = "wrong_password", "This is not your present password.", "/current_password"


class SecondFactorInUse(Conflict):
    """There is a second factor already."""

    code, detail = "second_factor_in_use", "Remove the second factor that you have first."


class WrongCode(Unprocessable):
    """The code is wrong, or was used before."""

    code, detail, pointer = "wrong_code", "The code is wrong, or was used before.", "/code"


@me_router.post("/password", status_code=204, response_class=Response, responses=problems(WrongPassword, WeakPassword))
async def change_password(
    body: PasswordChange, caller: CurrentCaller, unit: Unit, services: TheServices, request: Request
) -> None:
    """Change one's own password. All sign-ins end, also this one, in every organization."""
    person = await _person(unit, await records.find_user(unit, caller.user_id))
    await _leave(unit, request)
    _, proven = await identify(services, person.email, body.current_password)
    if proven != person.id:
        raise WrongPassword
    require_strong(body.new_password, email=person.email)
    password_hash = await services.passwords.hash(body.new_password, email=spelled(person.email))
    async with services.database.unit(caller.context) as writing:
        await people.set_password(
            writing, person_id=person.id, password_hash=password_hash, because=rules.Ended.PASSWORD
        )
        note(writing, "user.password_changed", resource="user", resource_id=caller.user_id)


async def _leave(unit: UnitOfWork, request: Request) -> None:
    """Give the connection back: what follows hashes, or goes on elsewhere. Its answer is kept for no key."""
    request.state.idempotency_key = None
    await unit.commit()


@me_router.post("/prove-address", status_code=202, response_class=Response)
async def ask_for_address_link(caller: CurrentCaller, unit: Unit, services: TheServices) -> None:
    """Have the link sent that proves one's address."""
    links.mail_address_link(services, await _person(unit, await records.find_user(unit, caller.user_id)))


@me_router.post("/second-factor", status_code=201, responses=problems(SecondFactorInUse))
async def begin_second_factor(caller: CurrentCaller, unit: Unit, services: TheServices) -> SecondFactorSeed:
    """Draw a seed for an authenticator. It counts once a code of it is confirmed."""
    user = await records.find_user(unit, caller.user_id)
    seed, uri, sealed = second_factor.draw_seed(services.vault, user.person_id, email=user.email)
    if not await people.keep_factor(unit, person_id=user.person_id, sealed=sealed):
        raise SecondFactorInUse
    return SecondFactorSeed(seed=seed, uri=uri)


@me_router.post("/second-factor/confirm", responses=problems(WrongCode, NotFound))
async def confirm_second_factor(body: Code, caller: CurrentCaller, unit: Unit, services: TheServices) -> RecoveryCodes:
    """Take the second factor into use. All other sign-ins end."""
    user = await records.find_user(unit, caller.user_id)
    factor = await people.factor_of(unit, user.person_id)
    if factor is None or factor.confirmed_at is not None:
        raise NotFound("second factor to confirm")
    step = second_factor.step_of(
        services.vault, user.person_id, sealed=factor.sealed, code=body.code.strip(), now=unit.now
    )
    if step is None:
        raise WrongCode
    codes, digests = second_factor.draw_recovery_codes()
    await people.confirm_factor(unit, person_id=user.person_id, counter=step, digests=digests)
    records.mark_second_factor(unit, session_id=caller.session_id)
    await people.end_sign_ins(
        unit, person_id=user.person_id, because=rules.Ended.SECOND_FACTOR, except_id=caller.session_id
    )
    note(unit, "user.second_factor_added", resource="user", resource_id=user.id)
    return RecoveryCodes(recovery_codes=codes)


@me_router.post(
    "/second-factor/remove", status_code=204, response_class=Response, responses=problems(WrongCode, NotFound)
)
async def remove_second_factor(body: Code, caller: CurrentCaller, unit: Unit, services: TheServices) -> None:
    """Do without a second factor again, with one last code. All other sign-ins end."""
    user = await records.find_user(unit, caller.user_id)
    factor = await people.factor_of(unit, user.person_id)
    if factor is None:
        raise NotFound("second factor")
    is_shown = factor.confirmed_at is None or await second_factor.use_code(
        unit, services.vault, user.person_id, sealed=factor.sealed, code=body.code
    )
    if not is_shown:
        raise WrongCode
    await people.drop_factor(unit, user.person_id)
    await people.end_sign_ins(
        unit, person_id=user.person_id, because=rules.Ended.SECOND_FACTOR, except_id=caller.session_id
    )
    note(unit, "user.second_factor_removed", resource="user", resource_id=user.id)


@me_router.get("/organizations")
async def list_my_organizations(caller: CurrentCaller, unit: Unit) -> PageOf[Membership]:
    """The organizations that one is a member of."""
    places = await people.memberships_of(unit, person_id=(await records.find_user(unit, caller.user_id)).person_id)
    found = [
        Membership(
            id=place.organization_id,
            name=place.name,
            role=place.role,
            is_present=place.organization_id == caller.organization_id,
            requires_second_factor=place.requires_second_factor,
        )
        for place in places
    ]
    return PageOf(items=found, next_cursor=None)


@me_router.get("/limits")
async def read_my_limits(request: Request, caller: CurrentCaller, claims: Claims) -> PageOf[LimitRead]:
    """How one's allowances stand: one's own, or the key's, and the organization's."""
    standings = await services_of(request).limiter.show(*wanted_by(request, claims))
    found = [
        LimitRead(
            name=one.allowance.name,
            per_minute=one.allowance.per_minute,
            limit=one.allowance.burst + 1,
            remaining=one.remaining,
            reset_seconds=one.reset_seconds,
        )
        for one in standings
    ]
    return PageOf(items=found, next_cursor=None)


@switch_router.post("/switch", responses=problems(NotFound))
async def switch_organization(
    body: Switch, caller: CurrentCaller, unit: Unit, services: TheServices, client: TheClient, request: Request
) -> Tokens:
    """Go on in another organization of one's own, with a sign-in of its own; this one goes on too."""
    user = await records.find_user(unit, caller.user_id)
    places = await people.memberships_of(unit, person_id=user.person_id)
    here = await records.lock_sign_in(unit, caller.session_id)
    wanted = next((place for place in places if place.organization_id == body.organization_id), None)
    if wanted is None or here is None:
        raise NotFound("organization of yours")
    await _leave(unit, request)
    return await enter(services, wanted, client, has_second_factor=here[0].has_second_factor)


@sessions_router.get("")
async def list_sessions(
    caller: CurrentCaller, unit: Unit, page: Page, user_id: UUID | None = None
) -> PageOf[SessionRead]:
    """Sign-ins that go on, newest first: one's own; administrators see those of `user_id` too."""
    whose = user_id if user_id is not None and caller.role in ADMINISTRATORS else caller.user_id
    found, next_cursor = await read_page(unit, records.SIGN_INS, {"user_id": whose}, page=page)
    items = [_session(one, caller) for one in found]
    return PageOf(items=items, next_cursor=next_cursor)


@sessions_router.delete("/{session_id}", status_code=204, response_class=Response, responses=problems(NotFound))
async def revoke_session(session_id: UUID, caller: CurrentCaller, unit: Unit) -> None:
    """End a sign-in: one's own, or as an administrator anybody's."""
    found = await records.lock_sign_in(unit, session_id)
    if found is None or (found[0].user_id != caller.user_id and caller.role not in ADMINISTRATORS):
        raise NotFound("session")
    sign_in, _ = found
    if sign_in.revoked_at is None:
        ended = replace(sign_in, revoked_at=unit.now, revoked_because=rules.Ended.REVOKED)
        records.write_sign_in(unit, Change(sign_in, ended))


def _session(one: Row, caller: Caller) -> SessionRead:
    names = SessionRead.model_fields.keys() - {"is_present"}
    return SessionRead(**{name: getattr(one, name) for name in names}, is_present=one.id == caller.session_id)


async def _person(unit: UnitOfWork, user: rules.User) -> Row:
    person = await people.find(unit, user.person_id)
    if person is None:
        raise NotFound("person")
    return person


routers = (me_router, sessions_router, switch_router)
