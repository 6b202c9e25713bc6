"""Seals anew what an earlier key sealed, so that a key can be given up: each secret by itself, while all goes on.

Each slice that keeps secrets says where, beside the code that seals them (`SEALED`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text

from api.db.statements import Bound, compiled
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.organizations import across_organizations, organization_ids
from api.kernel.secrets import SealBrokenError, Secrets
from api.kernel.unit_of_work import Row, UnitOfWork
from contracts.events.envelope import ActorKind

#: People belong to no organization; what is theirs is sealed for this one.
NOWHERE = UUID(int=0)


@dataclass(frozen=True)
class Sealed:
    """Columns of a table that hold what is sealed, and for which purpose the row with a key's value has it sealed."""

    table: str
    key: str
    columns: tuple[str, ...]
    purpose: Callable[[UUID], str]
    is_of_people: bool = False


@dataclass
class Resealed:
    """What came of it. `broken`: the table and key of what no key opens, which was left as it is."""

    anew: int = 0
    already: int = 0
    broken: list[tuple[str, UUID]] = field(default_factory=list)


async def reseal(database: Database, secrets: Secrets, places: Sequence[Sealed], *, correlation_id: UUID) -> Resealed:
    """Seal with the newest key all that is not."""
    done = Resealed()
    async with database.unit(None) as unit:
        await _reseal_here(unit, secrets, NOWHERE, [place for place in places if place.is_of_people], done)
    of_organizations = [place for place in places if not place.is_of_people]
    for organization_id in await organization_ids(database):
        context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=correlation_id)
        async with database.unit(context) as unit:
            await _reseal_here(unit, secrets, organization_id, of_organizations, done)
    return done


async def _reseal_here(
    unit: UnitOfWork, secrets: Secrets, organization_id: UUID, places: Sequence[Sealed], done: Resealed
) -> None:
    for place in places:
        for column in place.columns:
            await _reseal_column(unit, secrets, organization_id, place, column, done)


async def _reseal_column(
    unit: UnitOfWork, secrets: Secrets, organization_id: UUID, place: Sealed, column: str, done: Resealed
) -> None:
    # names of ours, none of anybody's
    kept = compiled(
        text(f"select {place.key} as key, {column} as sealed from {place.table} where {column} is not null")
    )
    # what was changed meanwhile was sealed with the newest key
    change = compiled(
        text(
            f"update {place.table} set {column} = :sealed where {place.key} = :key and {column} = :before"
            f" returning {place.key}"
        )
    )
    for row in await _ask(unit, place, kept.bind()):
        if secrets.is_current(sealed := bytes(row.sealed)):
            done.already += 1
            continue
        try:
            opened = secrets.open_sealed(organization_id, place.purpose(row.key), sealed)
        except SealBrokenError:
            done.broken.append((place.table, row.key))
            continue
        anew = secrets.seal(organization_id, place.purpose(row.key), opened)
        await _ask(unit, place, change.bind(key=row.key, before=sealed, sealed=anew))
        done.anew += 1


async def _ask(unit: UnitOfWork, place: Sealed, statement: Bound) -> list[Row]:
    if place.is_of_people:
        [rows] = await across_organizations(unit, statement)
    else:
        [rows] = await unit.fetch_all(statement)
    return rows
