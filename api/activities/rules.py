"""Rules of notes, calls and meetings. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Unprocessable
from api.kernel.links import Links
from contracts.events.activities import ActivityDeleted, ActivityKind, ActivityLogged, ActivityRestored, ActivityUpdated

#: How far a caller's clock may run ahead of ours.
_CLOCK_TOLERANCE = timedelta(minutes=2)


class NothingToRead(Unprocessable):
    """A note says something."""

    code, detail, pointer = "nothing_to_read", "A note needs a body.", "/body"


class NotYet(Unprocessable):
    """What is logged has taken place."""

    code, pointer = "not_yet", "/took_place_at"
    detail = "This lies in the future. What is still to be done is a task."


@dataclass(frozen=True, kw_only=True)
class Activity(Versioned):
    """What somebody did or noted."""

    kind: ActivityKind
    subject: str | None = None
    body: str | None = None
    took_place_at: datetime
    duration_seconds: int | None = None
    direction: str | None = None
    author_id: UUID | None = None
    mentions: list[UUID]
    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None
    deleted_at: datetime | None = None

    @property
    def links(self) -> Links:
        """What it is about."""
        return Links(self.deal_id, self.contact_id, self.company_id)


Change = changes.Change[Activity]

_FACTS = (
    *("kind", "author_id", "deal_id", "contact_id", "company_id"),
    *("took_place_at", "duration_seconds", "direction"),
)
_KEPT = {"id", "version", "created_at", "updated_at", "author_id", "kind", "deleted_at"}
_WRITABLE = frozenset(one.name for one in fields(Activity)) - _KEPT


def log(kind: ActivityKind, given: Mapping[str, Any], *, now: datetime, author_id: UUID | None) -> Change:
    """Something that was done or noted; now, where nothing says when.

    Raises:
        NothingToRead, NotYet: as they say.
    """
    values = {name: given[name] for name in _WRITABLE & given.keys()}
    values |= {
        "took_place_at": given.get("took_place_at") or now,
        "mentions": list(dict.fromkeys(given.get("mentions") or ())),
    }
    one = Activity(id=uuid7(), version=1, created_at=now, updated_at=now, kind=kind, author_id=author_id, **values)
    _check(one, now)
    return Change(None, one, ActivityLogged(**_facts(one)), one.took_place_at)


def update(before: Activity, given: Mapping[str, Any], *, now: datetime) -> Change | None:
    """The same told otherwise; None where nothing differs.

    Raises:
        NothingToRead, NotYet: as they say.
    """
    wanted = {name: value for name, value in given.items() if name in _WRITABLE and getattr(before, name) != value}
    if not wanted:
        return None
    after = revised(before, now, **wanted)
    _check(after, now)
    return Change(before, after, ActivityUpdated(**_facts(after), changed_fields=sorted(wanted)))


def delete(before: Activity, *, now: datetime) -> Change:
    """Taken back."""
    after = revised(before, now, deleted_at=now)
    return Change(before, after, ActivityDeleted(**_facts(after)))


def restore(before: Activity, *, now: datetime) -> Change:
    """Told again."""
    after = revised(before, now, deleted_at=None)
    return Change(before, after, ActivityRestored(**_facts(after)))


def _check(one: Activity, now: datetime) -> None:
    if one.kind is ActivityKind.NOTE and not one.body:
        raise NothingToRead
    if one.took_place_at > now + _CLOCK_TOLERANCE:
        raise NotYet


def _facts(one: Activity) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _FACTS}
