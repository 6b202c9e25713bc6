"""`/v1/auth`: signing up, in and out.

These answer tokens, so no answer is kept for an Idempotency-Key: a repeated sign-up finds its organization again, a
repeated sign-in is another sign-in, a repeated refresh gets the same token, a repeated sign-out finds nothing to end.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request, Response

from api.edge.dependencies import CurrentCaller, Session
from api.edge.idempotency import HEADER, IdempotencyKeyReused
from api.edge.routing import problems, slice_router
from api.edge.services import Services, services_of
from api.identity import sessions, sign_in
from api.identity.password_policy import WeakPassword
from api.identity.schemas import Refresh, SignedUp, SignIn, SignUp, Tokens
from api.kernel.errors import Unauthenticated

router = slice_router(prefix="/auth", tags=["sign-in"])


async def _correlation_id(request: Request) -> UUID:
    correlation_id: UUID = request.state.correlation_id
    return correlation_id


_Services = Annotated[Services, Depends(services_of)]
_CorrelationId = Annotated[UUID, Depends(_correlation_id)]
_IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=HEADER, min_length=1, max_length=255, description="Repeated with the same key, no second organization."
    ),
]


@router.post("/signup", status_code=201, responses=problems(WeakPassword, IdempotencyKeyReused))
async def sign_up(
    body: SignUp, services: _Services, correlation_id: _CorrelationId, idempotency_key: _IdempotencyKey = None
) -> SignedUp:
    """Make an organization; its first user is its owner, its first pipeline may be changed at will."""
    return await sign_in.sign_up(services, body, correlation_id=correlation_id, key=idempotency_key)


@router.post("/login", responses=problems(Unauthenticated))
async def log_in(body: SignIn, services: _Services, correlation_id: _CorrelationId) -> Tokens:
    """Begin a sign-in."""
    return await sign_in.sign_in(services, body, correlation_id=correlation_id)


@router.post("/refresh", responses=problems(Unauthenticated))
async def refresh_sign_in(body: Refresh, services: _Services) -> Tokens:
    """Exchange a refresh token for new tokens. Repeat with the same token if the answer was lost."""
    return await sessions.refresh(services, token=body.refresh_token)


@router.post("/logout", status_code=204, response_class=Response)
async def log_out(caller: CurrentCaller, session: Session) -> None:
    """End this sign-in; its tokens die at once."""
    await sessions.end(session, organization_id=caller.organization_id, session_id=caller.session_id, because="logout")
