"""Names that make an endpoint's signature read as prose.

    async def update_team(team_id: UUID, body: TeamUpdate, caller: Administrator, if_match: IfMatch, unit: Unit)

`CurrentCaller` is anyone signed in, `RecordWriter` may change records, `Administrator` may change users, teams and
pipelines, `IfMatch` is the version that the caller read. `Unit` is the unit of work.
"""

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer
from sqlalchemy import text
from starlette.requests import HTTPConnection

from api.db.statements import Bound, compiled
from api.edge import idempotency
from api.edge.addresses import address_of
from api.edge.limits import Allowance, Wanted, judge
from api.edge.permissions import PERMISSIONS
from api.edge.routing import Unit, unit_of
from api.edge.security import AccessClaims
from api.edge.services import services_of
from api.edge.tokens import claims_of
from api.kernel.caller import Caller
from api.kernel.context import Context
from api.kernel.errors import Forbidden, PreconditionFailed, PreconditionRequired, Unauthenticated
from api.kernel.unit_of_work import Opening, Row, UnitOfWork
from contracts.access import RecordScope, Role

__all__ = [
    "Administrator",
    "Claims",
    "CurrentCaller",
    "IfMatch",
    "OptionalIfMatch",
    "RecordWriter",
    "SignedIn",
    "SignedInWriter",
    "Unit",
    "require",
]

_ENTER_BY_SESSION = compiled(text("select * from enter_by_session(:organization_id, :session_id, :read_only)"))
_ENTER_BY_KEY = compiled(text("select * from enter_by_key(:organization_id, :key_id, :digest, :read_only)"))
_ANYBODY, _ADMINISTRATORS = tuple(Role), (Role.OWNER, Role.ADMIN)
_RECORD_WRITERS = (*_ADMINISTRATORS, Role.MANAGER, Role.REP)


class SecondFactorRequired(Forbidden):
    """The organization asks for a second factor, which this sign-in has not shown."""

    code = "second_factor_required"
    detail = "Your organization asks for a second factor. Set one up, then sign in with it."


class ScopeMissing(Forbidden):
    """The key may not do this."""

    code = "scope_missing"


class _AccessToken(HTTPBearer):
    """What the request's access token, or a program's key, says."""

    async def __call__(self, request: Request) -> AccessClaims:  # type: ignore[override]  # read, not only found
        return claims_of(request)


_access_token = _AccessToken(
    scheme_name="HTTPBearer", auto_error=False, description="The access token that sign-in answers, or an API key."
)

#: What the access token says. Whether that sign-in goes on is not known before the caller is.
Claims = Annotated[AccessClaims, Security(_access_token)]

_KeyHeader = Annotated[
    str | None,
    Header(
        alias=idempotency.HEADER,
        description="Makes repeating a POST safe: one key has one effect and one answer for 24 hours. Optional;"
        " without it a repeated POST is a new one. Other methods ignore it.",
    ),
]


async def _current_caller(request: Request, claims: Claims, idempotency_key: _KeyHeader = None) -> Caller:
    del idempotency_key  # declared for the documentation; `key_of` reads the header itself
    unit = await _enter(request, claims)
    await unit.begin()
    caller: Caller = request.state.caller
    return caller


async def _enter(request: Request, claims: AccessClaims, roles: Collection[Role] = _ANYBODY) -> UnitOfWork:
    """Have the organization entered by the request's first wait, if a role is among `roles`."""
    unit = await unit_of(request)
    key = None if unit.is_reading else await idempotency.key_of(request, user_id=claims.user_id)
    limiter, wanted = services_of(request).limiter, wanted_by(request, claims)
    request.state.standing = await limiter.take_elsewhere(wanted)
    toll = limiter.statements(wanted)
    unit.open_with(_opening(request, claims, key, roles, is_reading=unit.is_reading, toll=toll, wanted=wanted))
    return unit


def wanted_by(request: HTTPConnection, claims: AccessClaims) -> list[Wanted]:
    """The allowances that a request of somebody's takes from: the account's, or the key's, and the organization's."""
    settings = services_of(request).settings
    if not settings.limits_are_on:
        return []
    of_one, of_all = settings.limit_account_per_minute, settings.limit_organization_per_minute
    kind, whose = ("account", claims.user_id) if claims.digest is None else ("key", claims.session_id)
    return [
        Allowance(kind, of_one, burst=of_one // 5).of(f"{claims.organization_id}{whose}"),
        Allowance("organization", of_all, burst=of_all // 5).of(str(claims.organization_id)),
    ]


def _opening(
    request: Request,
    claims: AccessClaims,
    key: idempotency.Key | None,
    roles: Collection[Role],
    *,
    is_reading: bool,
    toll: Sequence[Bound],
    wanted: Sequence[Wanted],
) -> Opening:
    """Takes from the allowances, enters the organization and claims the key, in one wait."""
    if claims.digest is None:
        statements = [_ENTER_BY_SESSION.bind(session_id=claims.session_id, read_only=is_reading)]
    else:
        statements = [_ENTER_BY_KEY.bind(key_id=claims.session_id, digest=claims.digest, read_only=is_reading)]
    if key is not None:
        statements.append(key.claim())

    def admit(answers: Sequence[list[Row]]) -> Context:
        if toll:
            request.state.standing = judge(wanted, answers[0])
        entered, *claimed = answers[len(toll) :]
        row = entered[0] if entered else None
        request.state.caller = caller = _caller(request, claims, row)
        _check_permission(request, caller, roles, lacks_second_factor=row is not None and row.lacks_second_factor)
        if key is not None:
            key.judge(claimed[0][0])
            request.state.idempotency_key = key
        return caller.context

    return Opening(claims.organization_id, statements, admit, toll)


def _caller(request: Request, claims: AccessClaims, row: Row | None) -> Caller:
    if row is None or row.user_id != claims.user_id:
        raise Unauthenticated("This sign-in has ended. Sign in again.")
    return Caller(
        user_id=row.user_id,
        organization_id=claims.organization_id,
        session_id=claims.session_id,
        role=Role(row.role),
        record_scope=RecordScope(row.record_scope),
        correlation_id=request.state.correlation_id,
        key_id=claims.session_id if claims.digest is not None else None,
        scopes=None if row.scopes is None else frozenset(row.scopes),
        address=address_of(request),
    )


def _check_permission(
    request: Request, caller: Caller, roles: Collection[Role], *, lacks_second_factor: bool = False
) -> None:
    """Hold the request's operation against the matrix. One that the matrix lacks is for `roles`, and for no key."""
    permission = PERMISSIONS.get(request.scope["route"].name)
    if caller.scopes is not None:
        if permission is None or permission.scope is None:
            raise ScopeMissing("Only people may do this, not a key.")
        if permission.scope not in caller.scopes:
            raise ScopeMissing(f"The key lacks the scope {permission.scope}.")
    if lacks_second_factor and not (permission and permission.is_of_oneself):
        raise SecondFactorRequired
    if caller.role not in (permission.roles if permission else roles):
        raise Forbidden(f"Your role ({caller.role}) may not do this.")


async def _entering(request: Request, claims: Claims) -> AccessClaims:
    await _enter(request, claims)
    return claims


async def _entering_to_write(request: Request, claims: Claims, idempotency_key: _KeyHeader = None) -> AccessClaims:
    del idempotency_key  # as above
    await _enter(request, claims, _RECORD_WRITERS)
    return claims


#: Whom the token names, for reading what any role may: the request's first wait says also whether the sign-in goes on.
SignedIn = Annotated[AccessClaims, Depends(_entering)]
#: The same for whoever changes records: that wait says also whether their role may, and claims the key.
SignedInWriter = Annotated[AccessClaims, Depends(_entering_to_write)]

#: Anyone signed in.
CurrentCaller = Annotated[Caller, Depends(_current_caller)]


def require(*roles: Role) -> Callable[[Request, Caller], Coroutine[Any, Any, Caller]]:
    """Dependency: the caller, if the matrix lets them; where it lacks the operation, if their role is among `roles`."""

    async def allowed(request: Request, caller: CurrentCaller) -> Caller:
        _check_permission(request, caller, roles)
        return caller

    return allowed


#: May change users, teams, pipelines and settings.
Administrator = Annotated[Caller, Depends(require(*_ADMINISTRATORS))]
#: May change records: companies, contacts, deals.
RecordWriter = Annotated[Caller, Depends(require(*_RECORD_WRITERS))]


_IfMatchHeader = Annotated[
    str | None, Header(alias="If-Match", description="The ETag that you read.", examples=['"3"'])
]


class _Versions(int):
    """Several versions that will do, or any: equal to each of them."""

    _accepted: frozenset[int] | None

    def __new__(cls, accepted: frozenset[int] | None) -> "_Versions":
        made = super().__new__(cls, 0)
        made._accepted = accepted
        return made

    def __eq__(self, other: object) -> bool:
        return self._accepted is None or other in self._accepted

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__


async def _given_version(if_match: _IfMatchHeader = None) -> int | None:
    """What `If-Match` accepts: one version, several, or by `*` whichever there is (RFC 9110)."""
    if if_match is None:
        return None
    if if_match.strip() == "*":
        return _Versions(None)
    versions = [_version(tag.strip()) for tag in if_match.split(",")]
    known = frozenset(version for version in versions if version is not None)
    if not known:
        raise PreconditionFailed  # no tag of ours, so not the present one
    return versions[0] if len(versions) == 1 else _Versions(known)


def _version(tag: str) -> int | None:
    digits = tag[1:-1]
    if not 3 <= len(tag) <= 20 or tag[0] != '"' or tag[-1] != '"' or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)


async def _expected_version(version: Annotated[int | None, Depends(_given_version)]) -> int:
    if version is None:
        raise PreconditionRequired
    return version


#: The version of the resource that the caller read. 428 without, 412 when it is not the present one.
IfMatch = Annotated[int, Depends(_expected_version)]
#: The same where a change may also be asked for blindly.
OptionalIfMatch = Annotated[int | None, Depends(_given_version)]
