"""Statements of keys."""

from uuid import UUID

from sqlalchemy import bindparam, text

from api.api_keys.rules import ApiKey
from api.db.statements import compiled
from api.kernel.changes import Change
from api.kernel.listing import Listing
from api.kernel.states import as_states, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.access import ApiKey as ApiKeyRow
from api.models.base import Base

_TABLES: dict[type, type[Base]] = {ApiKey: ApiKeyRow}
_KEYS = rows_of(ApiKey, ApiKeyRow)
KEYS = Listing(
    _KEYS,
    filters={"user_id": ApiKeyRow.user_id == bindparam("user_id")},
    order=(ApiKeyRow.id,),
    newest_first=True,
)
_LOCK = compiled(_KEYS.where(ApiKeyRow.id == bindparam("key_id")).with_for_update())
_REVOKE_ALL = compiled(
    text("""
update api_keys set revoked_at = clock_timestamp()
where organization_id = :organization_id and user_id = :user_id and role is null and revoked_at is null
""")
)


async def lock_key(unit: UnitOfWork, key_id: UUID) -> ApiKey | None:
    """A key, locked."""
    found = as_states(ApiKey, await unit.fetch(_LOCK, key_id=key_id))
    return found[0] if found else None


def write_change(unit: UnitOfWork, change: Change[ApiKey]) -> None:
    """Queue what was decided."""
    write(unit, [change], _TABLES)


def revoke_all(unit: UnitOfWork, *, user_id: UUID) -> None:
    """End all keys that act for a user; those of services go on."""
    unit.execute(_REVOKE_ALL, user_id=user_id)
