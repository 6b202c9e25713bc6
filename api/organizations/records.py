"""Statements of organizations. The table's key is the organization itself."""

from dataclasses import asdict

from sqlalchemy import bindparam, select, text

from api.db.statements import compiled
from api.kernel.auditing import note_changes
from api.kernel.changes import Change
from api.kernel.states import only
from api.kernel.unit_of_work import UnitOfWork
from api.models.organization import Organization as OrganizationRow
from api.organizations.rules import Organization

_SELECT = select(OrganizationRow.__table__, OrganizationRow.organization_id.label("id")).where(
    OrganizationRow.organization_id == bindparam("organization_id")
)
READ = compiled(_SELECT)
_LOCK = compiled(_SELECT.with_for_update(key_share=True))
_UPDATE = compiled(
    text("""
update organizations set name = :name, time_zone = :time_zone, currency = :currency, week_start = :week_start,
    fiscal_year_start_month = :fiscal_year_start_month, requires_second_factor = :requires_second_factor,
    version = :version, updated_at = :updated_at
where organization_id = :organization_id
""")
)


async def find_organization(unit: UnitOfWork) -> Organization:
    """The organization that the unit is in."""
    return only(Organization, await unit.fetch(READ), "organization")


async def lock_organization(unit: UnitOfWork) -> Organization:
    """The same, locked."""
    return only(Organization, await unit.fetch(_LOCK), "organization")


def write_change(unit: UnitOfWork, change: Change[Organization]) -> None:
    """Queue what was decided."""
    row = asdict(change.after)
    organization_id, created_at = row.pop("id"), row.pop("created_at")
    if change.before is None:
        unit.insert(OrganizationRow, row | {"created_at": created_at})
    else:
        unit.execute(_UPDATE, **row)
    note_changes(unit, OrganizationRow, [change])
    if change.event is not None:
        unit.emit(change.event, aggregate_id=organization_id, aggregate_version=change.after.version)
