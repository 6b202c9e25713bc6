"""Plain records in the recycle bin.

They stay in their table, where row-level security hides them from every statement but those that open the bin. What has
to be unique, and by what they would be found, lies beside them meanwhile, free for others to have.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.db.statements import Statement, compiled
from api.kernel.custom import CustomValueTaken
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.records import Owners, RecordKind
from api.kernel.unit_of_work import UnitOfWork
from contracts.events.envelope import Event

#: Until the transaction ends, or the bin is closed again.
OPEN = compiled(text("select set_config('sluice.bin', 'open', true)"))
CLOSE = compiled(text("select set_config('sluice.bin', '', true)"))

_CHANNELS = "organization_id = :organization_id and contact_id = :id"
_UNIQUE = "organization_id = :organization_id and record_id = :id"


def _rows(table: str, where: str) -> str:
    return f"(select coalesce(jsonb_agg(to_jsonb(x)), '[]'::jsonb) from {table} as x where {where})"


@cache
def _putting(table: str) -> tuple[Statement, ...]:
    """The record first: so that nothing finds it any more when what belongs to it goes."""
    channels = f", 'contact_channels', {_rows('contact_channels', _CHANNELS)}" if table == "contacts" else ""
    aside = f"""jsonb_build_object('external_id', external_id,
        'custom_unique_values', {_rows("custom_unique_values", _UNIQUE)}{channels})"""
    statements = [
        f"""update {table} set deleted_at = clock_timestamp(), updated_at = clock_timestamp(), version = version + 1,
            external_id = null, binned = {aside} where organization_id = :organization_id and id = :id""",
        f"delete from custom_unique_values where {_UNIQUE}",
    ]
    if table == "contacts":
        statements.append(f"delete from contact_channels where {_CHANNELS}")
    return tuple(compiled(text(one)) for one in statements)


@cache
def _taking(table: str) -> tuple[Statement, ...]:
    put_back = [
        f"""insert into {one} select r.* from {table} as b
            cross join lateral jsonb_populate_recordset(null::{one}, b.binned -> '{one}') as r
            where b.organization_id = :organization_id and b.id = :id"""
        for one in ("custom_unique_values", *(("contact_channels",) if table == "contacts" else ()))
    ]
    back = f"""update {table} set deleted_at = null, updated_at = clock_timestamp(), version = version + 1,
        external_id = binned ->> 'external_id', binned = null where organization_id = :organization_id and id = :id"""
    return tuple(compiled(text(one)) for one in (*put_back, back))


@cache
def _locking(table: str) -> Statement:
    return compiled(
        text(f"""select *, binned ->> 'external_id' as kept_external_id from {table}
            where organization_id = :organization_id and id = :id and deleted_at is not null and binned is not null
                and (cast(:owners as uuid[]) is null or owner_id = any(:owners)) for update""")
    )


async def put_in_bin(
    unit: UnitOfWork, kind: RecordKind, record_id: UUID, *, owners: Owners, expected_version: int | None = None
) -> int:
    """Put a record into the bin; answers its version then.

    Raises:
        NotFound: there is none that the caller sees.
        PreconditionFailed: it changed since the caller read it.
    """
    [rows] = await unit.fetch_all(kind.locking.bind({"id": record_id, "owners": owners}, after=None, limit=1))
    if not rows:
        raise NotFound(kind.noun)
    before = rows[0]
    if expected_version not in (None, before.version):
        raise PreconditionFailed
    version: int = before.version + 1
    unit.execute(OPEN)
    for statement in _putting(kind.model.__tablename__):
        unit.execute(statement, id=record_id)
    unit.execute(CLOSE)
    _tell(unit, kind, kind.deleted, before._asdict(), version)
    return version


async def take_from_bin(
    unit: UnitOfWork, kind: RecordKind, record_id: UUID, *, owners: Owners, expected_version: int | None = None
) -> int:
    """Take a record out of the bin, as it was; answers its version then.

    Raises:
        NotFound: there lies none that the caller saw.
        PreconditionFailed: it is not as the caller knows it.
        ExternalIdTaken, CustomValueTaken: another record has now what has to be unique.
    """
    locked = _locking(kind.model.__tablename__).bind(id=record_id, owners=None if owners is None else list(owners))
    [_, rows] = await unit.fetch_all(OPEN.bind(), locked)
    if not rows:
        unit.execute(CLOSE)
        raise NotFound(kind.noun)
    before = rows[0]
    if expected_version not in (None, before.version):
        unit.execute(CLOSE)
        raise PreconditionFailed
    version: int = before.version + 1
    unit.explain({**kind.problems(before.kept_external_id), "uq_custom_unique_values_value": CustomValueTaken})
    for statement in _taking(kind.model.__tablename__):
        unit.execute(statement, id=record_id)
    unit.execute(CLOSE)
    _tell(unit, kind, kind.restored, before._asdict(), version)
    return version


def _tell(unit: UnitOfWork, kind: RecordKind, event: type[Event] | None, row: Mapping[str, Any], version: int) -> None:
    if event is None:
        raise TypeError(f"a {kind.noun} cannot be deleted")
    facts = {name: row[name] for name in kind.facts}
    unit.emit(event.model_validate(facts), aggregate_id=row["id"], aggregate_version=version)
