"""Statements about activities."""

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy import Uuid, bindparam, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from api.activities.rules import Activity, Change
from api.db.statements import compiled, contains, is_one_of
from api.kernel.constraints import Problems, UnknownReference, unknown
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.links import LINKED
from api.kernel.listing import Listing
from api.kernel.states import as_state, rows_of
from api.kernel.timelines import SOURCES, Source
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.activity import Activity as ActivityRow
from api.models.user import User
from contracts.events.activities import ActivityKind

_PROBLEMS: Problems = {f"fk_activities_{column}": unknown(column, noun) for column, noun in LINKED.items()}
_ACTIVE_USERS = compiled(
    select(User.id).where(
        User.organization_id == bindparam("organization_id"), is_one_of(User.id, "ids"), User.is_active
    )
)
_activities = rows_of(Activity, ActivityRow).where(ActivityRow.deleted_at.is_(None))
_gone = rows_of(Activity, ActivityRow).where(ActivityRow.deleted_at.is_not(None)).with_for_update(of=ActivityRow)
_viewer = bindparam("viewer_id", type_=Uuid)
_conditions = {
    "id": ActivityRow.id == bindparam("id"),
    "kinds": is_one_of(ActivityRow.kind, "kinds"),
    # seen by whoever sees the records of its author, and by whom it mentions; a record's timeline shows all of its own
    "owners": or_(is_one_of(ActivityRow.author_id, "owners"), _viewer == ActivityRow.mentions.any_()),
    "viewer_id": _viewer.is_not(None),
    "mentioned": ActivityRow.mentions.contains(bindparam("mentioned", type_=ARRAY(Uuid))),
    "q": or_(contains(ActivityRow.subject, "q"), contains(ActivityRow.body, "q")),
    **{name: getattr(ActivityRow, name) == bindparam(name) for name in ("author_id", *LINKED)},
}
#: Activities, the newest first.
ACTIVITIES = Listing(_activities, filters=_conditions, order=(ActivityRow.id,), newest_first=True)
_DELETED = Listing(_gone, filters=_conditions, order=(ActivityRow.id,))
_LOCKED = Listing(_activities.with_for_update(of=ActivityRow), filters=_conditions, order=(ActivityRow.id,))


def seen_by(viewer_id: UUID, owners: Collection[UUID] | None) -> dict[str, object]:
    """The filter of what a caller sees."""
    return {} if owners is None else {"owners": owners, "viewer_id": viewer_id}


async def find_activity(
    unit: UnitOfWork,
    activity_id: UUID,
    *,
    kinds: Collection[ActivityKind],
    seen: dict[str, object],
    expected_version: int | None = None,
    is_locked: bool = False,
) -> Activity:
    """One activity of these kinds that the caller sees.

    Raises:
        NotFound: there is none.
        PreconditionFailed: it changed since the caller read it.
    """
    listing = _LOCKED if is_locked else ACTIVITIES
    given = {"id": activity_id, "kinds": kinds, **seen}
    [rows] = await unit.fetch_all(listing.bind(given, after=None, limit=1))
    if not rows:
        raise NotFound("note" if set(kinds) == {ActivityKind.NOTE} else "activity")
    found = as_state(Activity, rows[0])
    if expected_version not in (None, found.version):
        raise PreconditionFailed
    return found


async def lock_deleted(unit: UnitOfWork, activity_id: UUID, *, seen: dict[str, object]) -> Activity:
    """An activity that was taken back, if the caller saw it, locked.

    Raises:
        NotFound: there is none.
    """
    [rows] = await unit.fetch_all(_DELETED.bind({"id": activity_id, **seen}, after=None, limit=1))
    if not rows:
        raise NotFound("activity")
    return as_state(Activity, rows[0])


async def check_mentions(unit: UnitOfWork, mentions: Collection[UUID]) -> None:
    """Check whom a note mentions.

    Raises:
        UnknownReference: somebody is no active user of the organization.
    """
    if mentions and len(await unit.fetch(_ACTIVE_USERS, ids=set(mentions))) < len(set(mentions)):
        raise UnknownReference("mentions", "active user")


def write(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what the rules decided."""
    unit.explain(_PROBLEMS)
    write_changes(unit, changes, {Activity: ActivityRow})


SOURCES.append(
    Source(
        kinds=tuple(ActivityKind),
        scope="activities:read",
        table="activities",
        at="x.took_place_at",
        kind="x.kind",
        type="'activity.logged'",
        actor="x.author_id",
        data="""jsonb_build_object('subject', x.subject, 'body', x.body, 'duration_seconds', x.duration_seconds,
            'direction', x.direction, 'mentions', x.mentions, 'version', x.version)""",
        where="x.deleted_at is null",
    )
)
