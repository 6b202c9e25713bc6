"""Statements about saved views."""

from uuid import UUID

from sqlalchemy import Uuid, bindparam, delete, or_, select

from api.db.statements import compiled
from api.kernel.constraints import unknown
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.kernel.states import as_state, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.team import TeamMember
from api.models.view import View as ViewRow
from api.views.rules import Change, View

_viewer = bindparam("viewer_id", type_=Uuid)
_teams = select(TeamMember.team_id).where(
    TeamMember.organization_id == bindparam("organization_id"),
    TeamMember.user_id == _viewer,
    TeamMember.ended_at.is_(None),
)
_conditions = {
    "id": ViewRow.id == bindparam("id"),
    "record_kind": ViewRow.record_kind == bindparam("record_kind"),
    "viewer_id": or_(ViewRow.owner_id == _viewer, ViewRow.is_shared, ViewRow.team_id.in_(_teams)),
}
#: Views that somebody (`viewer_id`) has or is shared, oldest first.
VIEWS = Listing(rows_of(View, ViewRow), filters=_conditions, order=(ViewRow.id,))
_LOCKED = Listing(rows_of(View, ViewRow).with_for_update(of=ViewRow), filters=_conditions, order=(ViewRow.id,))
_DELETE = compiled(
    delete(ViewRow).where(ViewRow.organization_id == bindparam("organization_id"), ViewRow.id == bindparam("view_id"))
)


async def find_view(unit: UnitOfWork, view_id: UUID, *, viewer_id: UUID, is_locked: bool = False) -> View:
    """One view that somebody may read.

    Raises:
        NotFound: there is none.
    """
    given = {"id": view_id, "viewer_id": viewer_id}
    [rows] = await unit.fetch_all((_LOCKED if is_locked else VIEWS).bind(given, after=None, limit=1))
    if not rows:
        raise NotFound("view")
    return as_state(View, rows[0])


def write(unit: UnitOfWork, change: Change) -> None:
    """Queue what was decided."""
    unit.explain({"fk_views_team_id": unknown("team_id", "team")})
    write_changes(unit, [change], {View: ViewRow})


def remove(unit: UnitOfWork, view: View) -> None:
    """Queue that a view is gone."""
    unit.execute(_DELETE, view_id=view.id)
