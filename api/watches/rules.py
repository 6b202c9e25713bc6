"""Rules of watches. No I/O.

`recorded` says what a reading of the figure changes: an event where it is another number, an alarm where it crossed the
threshold. An alarm stays raised until the figure is back by more than the margin, so that a number that trembles about
its threshold tells once; a new period is judged anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict, Unprocessable
from contracts.events.metrics import (
    MetricAlarmCleared,
    MetricAlarmRaised,
    MetricRecorded,
    MetricUnwatched,
    MetricWatched,
)

MOST = 50
_DIGEST_TIME = time(8)


class TooManyWatches(Conflict):
    """Nobody keeps an eye on so many figures."""

    code, detail = "too_many_watches", f"You watch {MOST} figures already. Stop watching one of them."


class HalfAnAlarm(Unprocessable):
    """A threshold needs a direction, and a direction a threshold."""

    code, pointer = "half_an_alarm", "/threshold"
    detail = "direction and threshold go together: give both, or neither."


@dataclass(frozen=True, kw_only=True)
class Watch(Versioned):
    """One watched figure, and what was recorded of it last."""

    user_id: UUID
    name: str
    metric: str
    measure: str
    question: dict[str, Any]
    period: str | None = None
    direction: str | None = None
    threshold: float | None = None
    margin: float = 0.0
    by_mail: bool = True
    digest: str | None = None
    digest_at: datetime | None = None
    digest_value: float | None = None
    value: float | None = None
    currency: str | None = None
    period_from: date | None = None
    recorded_at: datetime | None = None
    published_at: datetime | None = None
    is_raised: bool = False
    problem: str | None = None
    deleted_at: datetime | None = None


Change = changes.Change[Watch]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a published version of the warehouse says of a watched figure."""

    value: float | None
    currency: str | None
    period_from: date | None
    period_to: date | None
    definition_version: int
    published_at: datetime
    through: datetime | None


_FIGURE = ("name", "metric", "measure", "question", "period")
_GIVEN = (*_FIGURE, "direction", "threshold", "margin", "by_mail", "digest")
_ALARM = frozenset({"direction", "threshold", "margin"})


def create(given: Mapping[str, Any], *, now: datetime, zone: ZoneInfo, user_id: UUID, known: int) -> Change:
    """A new watch of somebody who has so many.

    Raises:
        TooManyWatches: these are enough.
    """
    if known >= MOST:
        raise TooManyWatches
    values = {name: given[name] for name in _GIVEN}
    watch = Watch(id=uuid7(), version=1, created_at=now, updated_at=now, user_id=user_id, **values)
    watch = replace(watch, digest_at=next_digest(watch.digest, now, zone))
    return Change(None, watch, MetricWatched(**_facts(watch)))


def update(watch: Watch, given: Mapping[str, Any], *, now: datetime, zone: ZoneInfo) -> Change | None:
    """The same watch otherwise; None where nothing differs.

    Raises:
        HalfAnAlarm: it would be one.
    """
    wanted: dict[str, Any] = {name: value for name, value in given.items() if getattr(watch, name) != value}
    if not wanted:
        return None
    if wanted.keys() & _ALARM:
        wanted["is_raised"] = False  # judged anew with the next look
    if "digest" in wanted:
        wanted["digest_at"] = next_digest(wanted["digest"], now, zone)
    after = revised(watch, now, **wanted)
    if (after.direction is None) != (after.threshold is None):
        raise HalfAnAlarm
    return Change(watch, after, MetricWatched(**_facts(after)))


def delete(watch: Watch, *, now: datetime) -> Change:
    """Nobody watches it any more."""
    return Change(watch, revised(watch, now, deleted_at=now), MetricUnwatched())


def recorded(watch: Watch, reading: Reading, *, now: datetime) -> list[Change]:
    """What a reading changes, in the order of the events; a number that is the recorded one may still be beyond a
    threshold that is new. A reading of a version that is older than what was recorded says nothing.
    """
    if watch.published_at is not None and reading.published_at < watch.published_at:
        return []
    is_known = watch.recorded_at is not None and reading.period_from == watch.period_from
    figure, told, after = _figure(watch, reading), list[Change](), watch
    if not is_known or (reading.value, reading.currency) != (watch.value, watch.currency):
        after = revised(
            watch,
            now,
            value=reading.value,
            currency=reading.currency,
            period_from=reading.period_from,
            recorded_at=now,
            published_at=reading.published_at,
            problem=None,
        )
        told.append(Change(watch, after, MetricRecorded(before=watch.value if is_known else None, **figure)))
    elif watch.problem:
        after = replace(watch, problem=None)
        told.append(Change(watch, after))
    alarm = _alarm(after, figure, is_new=not is_known, now=now)
    return [*told, *([alarm] if alarm else [])]


def failed(watch: Watch, problem: str) -> list[Change]:
    """What it means that the figure cannot be told: whoever watches is told why."""
    return [] if watch.problem == problem else [Change(watch, replace(watch, problem=problem))]


def next_digest(digest: str | None, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the next digest is due: at eight in the morning, each day or on Mondays."""
    if digest is None:
        return None
    local = now.astimezone(zone)
    day = local.date() + timedelta(days=local.time() >= _DIGEST_TIME)
    if digest == "weekly":
        day += timedelta(days=-day.weekday() % 7)
    return datetime.combine(day, _DIGEST_TIME, zone)


def digested(watches: Iterable[Watch], *, now: datetime, zone: ZoneInfo) -> list[Change]:
    """Watches whose digest was told: the next one comes another day, and tells what changed since this one."""
    return [
        Change(one, replace(one, digest_value=one.value, digest_at=next_digest(one.digest, now, zone)))
        for one in watches
    ]


def _alarm(watch: Watch, figure: Mapping[str, Any], *, is_new: bool, now: datetime) -> Change | None:
    """The alarm that a recorded figure raises or clears. One that was raised in another period is raised again."""
    if watch.direction is None or watch.threshold is None or watch.value is None:
        return None
    about = {"direction": watch.direction, "threshold": watch.threshold, **figure}
    beyond = watch.value - watch.threshold if watch.direction == "above" else watch.threshold - watch.value
    if beyond >= 0 and (is_new or not watch.is_raised):
        return Change(watch, revised(watch, now, is_raised=True), MetricAlarmRaised(**about))
    if watch.is_raised and beyond < 0 and (is_new or beyond < -watch.margin):
        return Change(watch, revised(watch, now, is_raised=False), MetricAlarmCleared(**about))
    return None


def _figure(watch: Watch, reading: Reading) -> dict[str, Any]:
    return {
        "metric": watch.metric,
        "definition_version": reading.definition_version,
        "measure": watch.measure,
        "value": reading.value,
        "currency": reading.currency,
        "period_from": reading.period_from,
        "period_to": reading.period_to,
        "as_of": reading.through,
    }


def _facts(watch: Watch) -> dict[str, Any]:
    return {name: getattr(watch, name) for name in ("user_id", "metric", "measure", "direction", "threshold", "margin")}
