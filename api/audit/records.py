"""Statements of the audit log, and the check of its chain."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, func, select, text

from api.db.statements import compiled
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.listing import Listing
from api.kernel.organizations import organization_ids
from api.kernel.unit_of_work import UnitOfWork
from api.models.audit import AuditEntry
from contracts.events.envelope import ActorKind

_PAGE = 1_000
_COLUMNS = [column for column in AuditEntry.__table__.c if column.key not in {"hash", "previous", "organization_id"}]
ENTRIES = Listing(
    select(*_COLUMNS, func.encode(AuditEntry.hash, "hex").label("hash")).where(
        AuditEntry.organization_id == bindparam("organization_id")
    ),
    filters={
        "action": AuditEntry.action == bindparam("action"),
        "actor_id": AuditEntry.actor_id == bindparam("actor_id"),
        "resource_id": AuditEntry.resource_id == bindparam("resource_id"),
    },
    order=(AuditEntry.position,),
    newest_first=True,
)
_CHAIN = compiled(
    text("""
select position, audit_text(a) as text, previous, hash from audit_log as a
where organization_id = :organization_id and position > :after order by position limit :row_limit
""")
)


@dataclass(frozen=True)
class Chain:
    """An organization's chain: how many entries, the last hash, and the first position where it is broken."""

    organization_id: UUID
    entries: int
    head: str
    broken_at: int | None


async def verify(database: Database, *, correlation_id: UUID) -> list[Chain]:
    """Compute every organization's chain anew, and compare."""
    chains = []
    for organization_id in await organization_ids(database):
        context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=correlation_id)
        async with database.reading(context) as reading:
            chains.append(await _verify_one(reading, organization_id))
    return chains


async def _verify_one(unit: UnitOfWork, organization_id: UUID) -> Chain:
    place, before = 0, b""
    while True:
        rows = await unit.fetch(_CHAIN, after=place, row_limit=_PAGE)
        for row in rows:
            whole = hashlib.sha256(row.text.encode()).digest()
            if row.position != place + 1 or bytes(row.previous) != before or bytes(row.hash) != whole:
                return Chain(organization_id, place, before.hex(), place + 1)
            place, before = row.position, whole
        if len(rows) < _PAGE:
            return Chain(organization_id, place, before.hex(), None)
