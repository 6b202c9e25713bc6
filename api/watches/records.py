"""Statements about watches: one's own, and those of everybody for the worker."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import BindParameter, bindparam, func, select, text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.kernel.caller import Caller
from api.kernel.changes import expect
from api.kernel.hints import hint
from api.kernel.listing import Listing
from api.kernel.states import as_states, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from api.kernel.writing import write as write_changes
from api.models.organization import Organization
from api.models.rule import Notification
from api.models.user import User
from api.models.watch import Watch as WatchRow
from api.models.watch import WatchMail
from api.watches.rules import Change, Watch
from contracts.access import RecordScope, Role
from metrics.period import Calendar

#: What wakes the worker: a watch that is new or other than before.
WORK = "watches"

_organization: BindParameter[UUID] = bindparam("organization_id")
_watches = rows_of(Watch, WatchRow).where(WatchRow.deleted_at.is_(None))
_conditions = {
    "id": WatchRow.id == bindparam("id"),
    "user_id": WatchRow.user_id == bindparam("user_id"),
    "digest_by": WatchRow.digest_at <= bindparam("digest_by"),
}
#: Watches, oldest first.
WATCHES = Listing(_watches, filters=_conditions, order=(WatchRow.id,))
_LOCKED = Listing(_watches.with_for_update(of=WatchRow), filters=_conditions, order=(WatchRow.id,))
_COUNT = compiled(
    select(func.count().label("watches")).where(
        WatchRow.organization_id == _organization,
        WatchRow.user_id == bindparam("user_id"),
        WatchRow.deleted_at.is_(None),
    )
)
_CALENDAR = compiled(
    select(Organization.time_zone, Organization.week_start, Organization.fiscal_year_start_month).where(
        Organization.organization_id == _organization
    )
)
_WATCHER = compiled(
    select(User.id, User.email, User.role, User.record_scope, User.is_active).where(
        User.organization_id == _organization, User.id == bindparam("user_id")
    )
)
#: Of all organizations; the worker's.
ALL = compiled(
    text("select organization_id, id, version from watches where deleted_at is null order by organization_id, id")
)
DUE = compiled(
    text("""
select distinct organization_id from watches
where deleted_at is null and digest_at is not null and digest_at <= clock_timestamp()
""")
)
TAKE_MAILS = compiled(
    text("""
update watch_mails m set attempts = m.attempts + 1,
    next_attempt_at = clock_timestamp() + least(interval '1 minute' * power(2, m.attempts), interval '6 hours')
from (
    select organization_id, id from watch_mails where next_attempt_at <= clock_timestamp()
    order by next_attempt_at limit 20 for update skip locked
) due
where m.organization_id = due.organization_id and m.id = due.id
returning m.organization_id, m.id, m.user_id, m.subject, m.body, m.attempts
""")
)
DROP_MAIL = compiled(text("delete from watch_mails where organization_id = :organization_id and id = :id"))


@dataclass(frozen=True)
class Watching:
    """A watch, and for whom and by which calendar it counts today."""

    watch: Watch
    owners: frozenset[UUID] | None
    is_active: bool
    zone: ZoneInfo
    calendar: Calendar


async def calendar_of(unit: UnitOfWork) -> tuple[ZoneInfo, Calendar]:
    """The organization's zone and calendar."""
    [row] = await unit.fetch(_CALENDAR)
    return ZoneInfo(row.time_zone), Calendar(row.week_start, row.fiscal_year_start_month)


async def count_of(unit: UnitOfWork, user_id: UUID) -> int:
    """How many figures somebody watches."""
    [row] = await unit.fetch(_COUNT, user_id=user_id)
    return int(row.watches)


async def find(
    unit: UnitOfWork, watch_id: UUID, *, user_id: UUID | None = None, version: int | None = None, lock: bool = False
) -> Watch:
    """One watch, of a person where one is named.

    Raises:
        NotFound, PreconditionFailed: as they say.
    """
    given = {"id": watch_id, "user_id": user_id}
    [rows] = await unit.fetch_all((_LOCKED if lock else WATCHES).bind(given, after=None, limit=1))
    states = as_states(Watch, rows)
    return expect(states[0] if states else None, "watch", version=version)


async def watching(unit: UnitOfWork, watch_id: UUID) -> Watching:
    """A watch as the worker looks at it.

    Raises:
        NotFound: there is none any more.
    """
    watch = await find(unit, watch_id)
    [user], [calendar] = await unit.fetch_all(_WATCHER.bind(user_id=watch.user_id), _CALENDAR.bind())
    caller = Caller(
        user_id=watch.user_id,
        organization_id=unit.context.organization_id,
        session_id=watch.id,
        role=Role(user.role),
        record_scope=RecordScope(user.record_scope),
        correlation_id=unit.context.correlation_id,
    )
    return Watching(
        watch=watch,
        owners=await owners_seen(unit, caller),
        is_active=user.is_active,
        zone=ZoneInfo(calendar.time_zone),
        calendar=Calendar(calendar.week_start, calendar.fiscal_year_start_month),
    )


async def lock_due(unit: UnitOfWork) -> list[Watch]:
    """Watches whose digest is due, locked."""
    [rows] = await unit.fetch_all(_LOCKED.bind({"digest_by": unit.now}, after=None, limit=1_000))
    return as_states(Watch, rows)


async def address_of(unit: UnitOfWork, user_id: UUID) -> str | None:
    """Where a person is written to; nobody writes to those who left."""
    [user] = await unit.fetch(_WATCHER, user_id=user_id)
    return str(user.email) if user.is_active else None


def write(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what was decided."""
    write_changes(unit, changes, {Watch: WatchRow})


def wake(unit: UnitOfWork) -> None:
    """Have the worker look."""
    hint(unit, WORK)


def mail(unit: UnitOfWork, user_id: UUID, subject: str, lines: Sequence[str]) -> None:
    """Queue a mail to a person."""
    row: dict[str, Any] = {"id": uuid7(), "user_id": user_id, "subject": subject, "body": "\n".join(lines)}
    unit.insert(WatchMail, row | {"attempts": 0, "next_attempt_at": unit.now})


def notify(unit: UnitOfWork, watch: Watch, message: str) -> None:
    """Tell a person on their page."""
    row = {"id": uuid7(), "user_id": watch.user_id, "text": message, "subject_type": "watch", "subject_id": watch.id}
    unit.insert(Notification, row)
