"""Which organizations there are: for what operators do to all of them, one after the other."""

from uuid import UUID

from sqlalchemy import text

from api.db.statements import Bound, compiled
from api.kernel.database import Database
from api.kernel.unit_of_work import Row, UnitOfWork

_BECOME_AUTH = compiled(text("select set_config('role', 'sluice_auth', true)"))
_BECOME_APP = compiled(text("select set_config('role', 'sluice_app', true)"))
_ORGANIZATIONS = compiled(text("select organization_id from organizations order by organization_id"))


async def organization_ids(database: Database) -> list[UUID]:
    """All organizations."""
    async with database.unit(None) as unit:
        [rows] = await across_organizations(unit, _ORGANIZATIONS.bind())
    return [row.organization_id for row in rows]


async def across_organizations(unit: UnitOfWork, *statements: Bound) -> list[list[Row]]:
    """Ask as the role that sees across organizations, for these statements alone."""
    _, *answers, _ = await unit.fetch_all(_BECOME_AUTH.bind(), *statements, _BECOME_APP.bind())
    return answers
