"""Statements of erasing and showing: made of what is declared, once."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from api.db.statements import Statement, compiled
from api.kernel.binning import OPEN
from api.kernel.erasing import BEGIN_ERASING
from api.kernel.listing import Listing
from api.kernel.unit_of_work import Bound, Row, UnitOfWork
from api.models.erasure import Erasure
from api.privacy.declared import DECLARED, FILES, MESSAGES, Declared

_STRUCK = "[erased]"
#: Shorter names stand in too many words that are none of theirs.
_SHORTEST_MENTION = 6


def _counted(statement: str) -> Statement:
    return compiled(text(f"with done as ({statement} returning 1) select count(*) as number from done"))


def _erasing(table: str, declared: Declared) -> Statement:
    found = f"organization_id = :organization_id and {declared.where}"
    if declared.goes:
        return _counted(f"delete from {table} where {found}")
    changes = ", ".join(f"{column} = {value}" for column, value in declared.erased.items())
    return _counted(f"update {table} set {changes} where {found}")


def _striking(table: str, columns: Sequence[str]) -> Statement:
    struck = ", ".join(f"{name} = regexp_replace({name}, :pattern, '{_STRUCK}', 'gi')" for name in columns)
    found = " or ".join(f"{name} ~* :pattern" for name in columns)
    return _counted(f"update {table} set {struck} where organization_id = :organization_id and ({found})")


_ERASING = {table: _erasing(table, one) for table, one in DECLARED.items() if one.where}
_STRIKING = {table: _striking(table, one.mentions.split()) for table, one in DECLARED.items() if one.mentions}
_SHOWING = {
    table: compiled(
        text(
            f"select to_jsonb(t) - 'organization_id' as row from {table} as t"
            f" where organization_id = :organization_id and {one.where}"
        )
    )
    for table, one in DECLARED.items()
    if one.where and table not in ("idempotency_keys", "webhook_deliveries", "rule_calls")
}
_LOCK = compiled(
    text("""
select id, name, email, phone, version, company_id, owner_id, source_id from contacts
where organization_id = :organization_id and id = :contact_id for update
""")
)
_ADDRESSES = compiled(
    text("""
select value from contact_channels where organization_id = :organization_id and contact_id = :contact_id
union select address from channel_identities where organization_id = :organization_id and contact_id = :contact_id
union select address from conversations where organization_id = :organization_id and contact_id = :contact_id
    and address not like 'erased:%'
union select h ->> 'value' from contacts cross join lateral jsonb_array_elements(binned -> 'contact_channels') as h
    where organization_id = :organization_id and id = :contact_id and binned is not null
""")
)
_CONTENTS = compiled(text(f"select distinct sha256 from files where organization_id = :organization_id and {FILES}"))
_QUEUED = compiled(
    text(f"""
select message_id from sends
where organization_id = :organization_id and state = 'queued' and message_id in ({MESSAGES})
""")
)
_RAISE = compiled(
    text("""
update contacts set version = :version, updated_at = clock_timestamp()
where organization_id = :organization_id and id = :contact_id
""")
)
ERASURES = Listing(
    select(Erasure),
    filters={},
    order=(Erasure.id,),
    newest_first=True,
)


async def lock_contact(unit: UnitOfWork, contact_id: UUID) -> Row | None:
    """The contact, locked, and nobody stores what was read of them before."""
    unit.execute(OPEN)  # who lies in the bin is erased and shown all the same
    _, rows = await unit.fetch_all(BEGIN_ERASING.bind(), _LOCK.bind(contact_id=contact_id))
    return rows[0] if rows else None


async def mentions_of(unit: UnitOfWork, contact: Row) -> list[str]:
    """What names a contact wherever it stands: addresses and numbers, and a name of several words."""
    addresses = [row.value for row in await unit.fetch(_ADDRESSES, contact_id=contact.id)]
    names = [contact.name] if " " in contact.name.strip() else []
    found = [one for one in (contact.email, contact.phone, *addresses, *names) if one]
    return sorted({one for one in found if len(one) >= _SHORTEST_MENTION}, key=lambda one: (-len(one), one))


async def contents_of(unit: UnitOfWork, contact_id: UUID) -> list[str]:
    """Hashes of the contents of files about a contact."""
    return [row.sha256 for row in await unit.fetch(_CONTENTS, contact_id=contact_id)]


async def queued_to(unit: UnitOfWork, contact_id: UUID) -> list[UUID]:
    """Messages to a contact that nobody has begun to send."""
    return [row.message_id for row in await unit.fetch(_QUEUED, contact_id=contact_id)]


async def erase(unit: UnitOfWork, contact_id: UUID, *, version: int) -> dict[str, int]:
    """Erase what is declared; answers the rows of each table."""
    counted = await unit.fetch_all(*(statement.bind(contact_id=contact_id) for statement in _ERASING.values()))
    unit.execute(_RAISE, contact_id=contact_id, version=version)
    return {table: rows[0].number for table, rows in zip(_ERASING, counted, strict=True) if rows[0].number}


async def strike_out(unit: UnitOfWork, pattern: str) -> dict[str, int]:
    """Strike out what a pattern finds in free text of the organization; answers the rows of each table."""
    counted = await unit.fetch_all(*(statement.bind(pattern=pattern) for statement in _STRIKING.values()))
    return {table: rows[0].number for table, rows in zip(_STRIKING, counted, strict=True) if rows[0].number}


async def show(unit: UnitOfWork, contact_id: UUID) -> dict[str, list[Any]]:
    """Every row that speaks of a contact, by table."""
    asked: list[Bound] = [statement.bind(contact_id=contact_id) for statement in _SHOWING.values()]
    unit.execute(OPEN)
    answers = await unit.fetch_all(*asked)
    return {table: [row.row for row in rows] for table, rows in zip(_SHOWING, answers, strict=True) if rows}
