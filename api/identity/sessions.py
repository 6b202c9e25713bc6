"""Sign-ins: begun, refreshed and ended. A sign-in is a row; its tokens are computed from it.

A refresh token is good once. Its immediate predecessor gets the same active token again for a short while, because an
answer may be lost; anything older is a copy in other hands, and ends the sign-in.
"""

import logging
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import DateTime, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.edge.security import AccessClaims, RefreshClaims
from api.edge.services import Services
from api.identity.schemas import Tokens
from api.kernel.errors import Unauthenticated
from api.models.session import SignIn
from api.models.user import User

_log = logging.getLogger("sluice.security")


async def begin(session: AsyncSession, services: Services, *, user: User) -> Tokens:
    """Sign a user in."""
    now = datetime.now(UTC)
    sign_in = SignIn(
        organization_id=user.organization_id,
        id=uuid7(),
        user_id=user.id,
        generation=1,
        expires_at=now + services.refresh_tokens.life,
    )
    session.add(sign_in)
    await session.flush()
    return tokens(services, RefreshClaims(user.organization_id, sign_in.id, 1), user_id=user.id, now=now)


def tokens(services: Services, claims: RefreshClaims, *, user_id: UUID, now: datetime) -> Tokens:
    """The tokens of a sign-in as it stands."""
    access = AccessClaims(claims.organization_id, user_id, claims.session_id)
    return Tokens(
        access_token=services.access_tokens.issue(access, now=now),
        refresh_token=services.refresh_tokens.issue(claims),
        expires_in=services.access_tokens.seconds,
    )


async def refresh(services: Services, *, token: str) -> Tokens:
    """Exchange a refresh token. Runs transactions of its own: that a copy was seen must outlive the refusal.

    Raises:
        Unauthenticated: not ours, expired, ended, or used before.
    """
    claims = services.refresh_tokens.read(token)
    async with services.database.transaction(claims.organization_id) as session:
        answer = await _rotate(session, services, claims)
    if answer is None:
        raise Unauthenticated("This sign-in has ended. Sign in again.")
    return answer


async def _rotate(session: AsyncSession, services: Services, claims: RefreshClaims) -> Tokens | None:
    query: Select[SignIn, bool, datetime] = (
        select(SignIn, User.is_active, func.clock_timestamp(type_=DateTime(timezone=True)))
        .join(User, (User.organization_id == SignIn.organization_id) & (User.id == SignIn.user_id))
        .where(SignIn.organization_id == claims.organization_id, SignIn.id == claims.session_id)
        .with_for_update(of=SignIn)
    )
    found = (await session.execute(query)).one_or_none()
    if found is None:
        return None
    sign_in, is_active, now = found
    if sign_in.revoked_at is not None or sign_in.expires_at <= now or not is_active:
        return None
    if claims.generation == sign_in.generation:
        sign_in.generation += 1
        sign_in.rotated_at = now
    elif claims.generation != sign_in.generation - 1 or now - sign_in.rotated_at > services.refresh_tokens.grace:
        _log.warning("refresh token used again", extra={"fields": {"session_id": sign_in.id}})
        await end(session, organization_id=claims.organization_id, session_id=sign_in.id, because="reuse")
        return None
    active = RefreshClaims(claims.organization_id, sign_in.id, sign_in.generation)
    return tokens(services, active, user_id=sign_in.user_id, now=now)


async def end(session: AsyncSession, *, organization_id: UUID, session_id: UUID, because: str) -> None:
    """End one sign-in; its access tokens die with it."""
    await session.execute(
        update(SignIn)
        .where(SignIn.organization_id == organization_id, SignIn.id == session_id, SignIn.revoked_at.is_(None))
        .values(revoked_at=func.now(), revoked_because=because)
    )


async def end_all(session: AsyncSession, *, organization_id: UUID, user_id: UUID, because: str) -> None:
    """End all sign-ins of a user."""
    await session.execute(
        update(SignIn)
        .where(SignIn.organization_id == organization_id, SignIn.user_id == user_id, SignIn.revoked_at.is_(None))
        .values(revoked_at=func.now(), revoked_because=because)
    )
