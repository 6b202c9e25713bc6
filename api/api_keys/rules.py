"""Rules of keys: none can do what its maker cannot."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.edge.permissions import ADMINISTRATORS, SCOPES, scopes_of
from api.kernel.caller import Caller
from api.kernel.errors import Forbidden, Unprocessable
from contracts.access import Role

_STANDING = (Role.OWNER, Role.ADMIN, Role.MANAGER, Role.REP, Role.ANALYST)


class UnknownScope(Unprocessable):
    """There is no such scope."""

    code = "unknown_scope"


class KeyBeyondItsMaker(Forbidden):
    """A key can do no more than whoever makes it."""

    code = "key_beyond_its_maker"


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it is kept."""

    id: UUID
    user_id: UUID
    name: str
    digest: bytes
    hint: str
    scopes: list[str]
    created_at: datetime
    role: Role | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


def require_makeable(
    caller: Caller, now: datetime, *, scopes: Collection[str], role: Role | None, expires_at: datetime | None
) -> None:
    """Refuse a key that nobody could use, or that could do more than its maker.

    Raises:
        UnknownScope, KeyBeyondItsMaker, Unprocessable: as they say.
    """
    if unknown := sorted(set(scopes) - SCOPES):
        raise UnknownScope(
            f"There is no scope {unknown[0]!r}. There are {', '.join(sorted(SCOPES))}.", pointer="/scopes"
        )
    if role is not None and (caller.role not in ADMINISTRATORS or _STANDING.index(role) < _STANDING.index(caller.role)):
        raise KeyBeyondItsMaker("Only administrators make keys of services, and with no role above their own.")
    if beyond := sorted(set(scopes) - scopes_of(role or caller.role)):
        raise KeyBeyondItsMaker(f"The role {role or caller.role} has no use of the scope {beyond[0]}.")
    if expires_at is not None and expires_at <= now:
        raise Unprocessable("The key would have expired already.", pointer="/expires_at")
