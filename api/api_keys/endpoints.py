"""`/v1/api-keys`: one's own; administrators see and revoke everybody's."""

from dataclasses import replace
from uuid import UUID

from fastapi import Request, Response
from uuid_utils.compat import uuid7

from api.api_keys import records
from api.api_keys.rules import ApiKey, KeyBeyondItsMaker, UnknownScope, require_makeable
from api.api_keys.schemas import ApiKeyCreate, ApiKeyMade, ApiKeyRead
from api.edge.dependencies import CurrentCaller, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.permissions import ADMINISTRATORS, scopes_of
from api.edge.routing import problems, slice_router
from api.edge.security import draw_key
from api.kernel.changes import Change
from api.kernel.errors import NotFound

router = slice_router(prefix="/api-keys", tags=["api keys"])

_HINT = 4


@router.get("")
async def list_api_keys(caller: CurrentCaller, page: Page, unit: Unit) -> PageOf[ApiKeyRead]:
    """List keys, newest first, without their secrets."""
    given = {"user_id": None if caller.role in ADMINISTRATORS else caller.user_id}
    found, next_cursor = await read_page(unit, records.KEYS, given, page=page)
    return PageOf(items=[ApiKeyRead.model_validate(key) for key in found], next_cursor=next_cursor)


@router.get("/scopes")
async def list_key_scopes(caller: CurrentCaller) -> PageOf[str]:
    """List the scopes that one's role can make use of."""
    return PageOf(items=sorted(scopes_of(caller.role)), next_cursor=None)


@router.post("", status_code=201, responses=problems(UnknownScope, KeyBeyondItsMaker))
async def create_api_key(
    body: ApiKeyCreate, caller: CurrentCaller, unit: Unit, request: Request, response: Response
) -> ApiKeyMade:
    """Make a key. The answer is the only one that holds it, so it is kept for no Idempotency-Key."""
    request.state.idempotency_key = None
    require_makeable(caller, unit.now, scopes=body.scopes, role=body.role, expires_at=body.expires_at)
    key_id = uuid7()
    text, digest = draw_key(caller.organization_id, caller.user_id, key_id)
    key = ApiKey(
        id=key_id,
        user_id=caller.user_id,
        name=body.name,
        digest=digest,
        hint=text[-_HINT:],
        scopes=sorted(set(body.scopes)),
        created_at=unit.now,
        role=body.role,
        expires_at=body.expires_at,
    )
    records.write_change(unit, Change(None, key))
    response.headers["Location"] = f"/v1/api-keys/{key_id}"
    return ApiKeyMade(**ApiKeyRead.model_validate(key).model_dump(), key=text)


@router.delete("/{key_id}", status_code=204, response_class=Response, responses=problems(NotFound))
async def revoke_api_key(key_id: UUID, caller: CurrentCaller, unit: Unit) -> None:
    """Revoke a key: it is refused from now on."""
    key = await records.lock_key(unit, key_id)
    if key is None or (key.user_id != caller.user_id and caller.role not in ADMINISTRATORS):
        raise NotFound("key")
    if key.revoked_at is None:
        records.write_change(unit, Change(key, replace(key, revoked_at=unit.now)))
