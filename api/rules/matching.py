"""Which rules an event, or time, sets off. Pure: the worker and the backtest ask the same, and get the same answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from api.kernel.conditions import Condition, compiled_condition, context_of
from api.rules.document import (
    EVENT_TYPES,
    RECORDS,
    Document,
    Mode,
    OnEvent,
    OnNoActivity,
    OnSchedule,
    OnScore,
    OnTimeInStage,
    Window,
)
from api.rules.facts import Fact, Subject
from api.rules.figures import digest_of

SCORED = "lead.scored"


@dataclass(frozen=True)
class RuleVersion:
    """A rule as it stood from an instant on."""

    rule_id: UUID
    version: int
    name: str
    owner_id: UUID | None
    mode: Mode
    document: Document
    valid_from: datetime

    @property
    def waits_for(self) -> str | None:
        """The type of event that may set it off."""
        trigger = self.document.trigger
        return trigger.event if isinstance(trigger, OnEvent) else SCORED if isinstance(trigger, OnScore) else None


class Due(NamedTuple):
    """What time brings about: when, and the stay, silence or hour that it is about."""

    at: datetime
    key: str


@dataclass(frozen=True)
class Firing:
    """A rule is set off on a record. `key` is what it fires on, once."""

    rule: RuleVersion
    subject: Subject
    key: str
    at: datetime
    fact: Fact | None
    facts: Mapping[str, Any]

    @property
    def score(self) -> float | None:
        """The record's score then."""
        return self.subject.scores[-1] if self.subject.scores else None


class CustomName(NamedTuple):
    """A custom field of deals as conditions call it: by its name; `labels` are those of its choices."""

    field_id: str
    name: str
    is_number: bool
    labels: Mapping[str, str]

    def read(self, value: str | None) -> object:
        """What an event says of it as a condition compares it: a number, the label of a choice, labels of several."""
        if value is None:
            return None
        if self.is_number:
            return float(value)
        return ", ".join(self.labels.get(part, part) for part in value.split(",")) if self.labels else value


class Found(NamedTuple):
    """A figure of the metrics, and since when it was known."""

    at: datetime
    value: float | None


@dataclass
class Rulebook:
    """The rules of an organization, each with all its versions, and what their conditions call by name."""

    versions: Mapping[UUID, Sequence[RuleVersion]]
    zone: ZoneInfo
    labels: Mapping[str, str] = field(default_factory=dict)
    imports: frozenset[UUID] = frozenset()  # those on which rules run
    quiet: frozenset[UUID] = frozenset()  # bulk changes on which they do not
    custom: Sequence[CustomName] = ()
    figures: Mapping[str, Sequence[Found]] = field(default_factory=dict)  # by what is asked, in order
    _waiting: dict[str, list[Sequence[RuleVersion]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for versions in self.versions.values():
            for kind in {one.waits_for for one in versions if one.waits_for and one.mode is not Mode.OFF}:
                self._waiting.setdefault(kind, []).append(versions)

    def waiting_for(self, event_type: str, at: datetime) -> list[RuleVersion]:
        """The rules that an event of a type may set off, as they stood when it occurred."""
        stood = (version_at(versions, at) for versions in self._waiting.get(event_type, ()))
        return [one for one in stood if one is not None and one.waits_for == event_type and one.mode is not Mode.OFF]

    def timed(self, at: datetime) -> list[RuleVersion]:
        """The rules that time sets off, as they stand at an instant."""
        stood = (version_at(versions, at) for versions in self.versions.values())
        return [one for one in stood if one is not None and one.document.is_timed and one.mode is not Mode.OFF]

    def admits(self, rule: RuleVersion, fact: Fact) -> bool:
        """Whether a rule looks at an event: those of imports and bulk changes only where it or they say so."""
        if fact.correlation_id in self.quiet:
            return False
        return fact.actor != "import" or rule.document.on_imports or fact.actor_id in self.imports

    def set_off(self, fact: Fact, subject: Subject) -> list[Firing]:
        """What an event sets off at once on its record, which has learned of it."""
        rules = [one for one in self._met_by(fact, subject) if not one.document.waits]
        return self._fire(rules, fact, subject, fact.recorded_at)

    def put_off(self, fact: Fact, subject: Subject) -> list[tuple[RuleVersion, datetime]]:
        """The rules that an event sets off later, and when, unless another one follows it until then."""
        rules = [one for one in self._met_by(fact, subject) if one.document.waits]
        return [(one, fact.recorded_at + timedelta(minutes=one.document.debounce_minutes)) for one in rules]

    def comes_after(self, rule: RuleVersion, fact: Fact, subject: Subject, due_at: datetime) -> list[Firing]:
        """What an event sets off that nothing followed: the record is judged as it is known then."""
        return self._fire([rule], fact, subject, due_at)

    def _met_by(self, fact: Fact, subject: Subject) -> list[RuleVersion]:
        rules = [one for one in self.waiting_for(fact.type, fact.occurred_at) if self.admits(one, fact)]
        return [one for one in rules if _crosses(one, subject)]

    def _fire(self, rules: Sequence[RuleVersion], fact: Fact, subject: Subject, at: datetime) -> list[Firing]:
        if not rules:
            return []
        about = {"type": fact.type, "actor": fact.actor, "actor_id": _text(fact.actor_id), "depth": fact.depth}
        event = {**fact.data, **about}
        return [
            Firing(rule, subject, f"event:{fact.id}", at, fact, facts)
            for rule, facts in self._hold(rules, subject, event, at)
        ]

    def comes_due(self, rule: RuleVersion, subject: Subject, due: Due) -> list[Firing]:
        """The same for what time brings about."""
        found = self._hold([rule], subject, {}, due.at)
        return [Firing(rule, subject, due.key, due.at, None, facts) for rule, facts in found]

    def _hold(
        self, rules: Sequence[RuleVersion], subject: Subject, event: Mapping[str, Any], at: datetime
    ) -> Iterable[tuple[RuleVersion, Mapping[str, Any]]]:
        rules = [one for one in rules if is_within(one.document.window, at, self.zone)]
        if not rules:
            return
        conditions = [compiled_condition(one.document.when) for one in rules]
        record: Mapping[str, Any] = {}
        needed = [one for one in conditions if one is not None]
        context = None
        if needed:
            record = self._named(subject, at)
            if any(f"{subject.type}.times" in one.fields for one in needed):  # what never happened did so 0 times
                asked = frozenset().union(*(one.said for one in needed))
                record = {**record, "times": {**dict.fromkeys(asked & EVENT_TYPES, 0), **subject.times}}
            context = context_of(needed, {subject.type: record, "event": event}, at)
        for rule, condition in zip(rules, conditions, strict=True):
            found = self._figures(rule, at)
            if condition is not None and found:
                metric = {name: one.value for name, one in found.items()}
                own = context_of([condition], {subject.type: record, "event": event, "metric": metric}, at)
            else:
                own = context
            if condition is None or condition.holds(own):
                yield rule, _looked_at(condition, record, subject, at) | _stated(found)

    def _figures(self, rule: RuleVersion, at: datetime) -> Mapping[str, Found]:
        """The figures that a rule names, as they were known at an instant."""
        found = {name: self.figures.get(digest_of(one), ()) for name, one in rule.document.metrics.items()}
        return {
            name: next((one for one in reversed(known) if one.at <= at), Found(at, None))
            for name, known in found.items()
        }

    def _named(self, subject: Subject, at: datetime) -> Mapping[str, Any]:
        shown = subject.variables(at)
        if subject.type == "deal":
            for name in ("stage", "source"):
                shown[name] = self.labels.get(str(shown.get(f"{name}_id")))
            told = shown["custom"]
            shown["custom"] = told | {one.name: one.read(told.get(one.field_id)) for one in self.custom}
        shown["id"] = str(subject.id)
        return shown


def version_at(versions: Sequence[RuleVersion], at: datetime) -> RuleVersion | None:
    """The version in force at an instant; `versions` are in order."""
    return next((one for one in reversed(versions) if one.valid_from <= at), None)


def subject_of(aggregate_type: str, aggregate_id: UUID, data: Mapping[str, Any]) -> tuple[str, UUID]:
    """The record that an event is about: its own aggregate, or the first of those that it names."""
    if aggregate_type not in RECORDS:
        for kind in RECORDS:
            if (named := data.get(f"{kind}_id")) is not None:
                return kind, UUID(str(named))
    return aggregate_type, aggregate_id


def due_of(rule: RuleVersion, subject: Subject) -> Due | None:
    """When time sets a rule off on a deal, as it stands. What was due before the rule was made is not."""
    trigger = rule.document.trigger
    if not subject.is_open_deal:
        return None
    if isinstance(trigger, OnTimeInStage):
        since = subject.stage_entered_at
        if trigger.stage_id is not None and str(trigger.stage_id) != str(subject.values.get("stage_id")):
            return None
        word = "stay"
    elif isinstance(trigger, OnNoActivity):
        since, word = subject.active_at, "silence"
    else:
        return None
    if since is None:
        return None
    due = since + timedelta(days=trigger.days)
    return Due(due, f"{word}:{subject.id}:{since.isoformat()}") if due >= rule.valid_from else None


def slots(rule: RuleVersion, *, after: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """The instants at which a schedule comes round, after one and up to another."""
    trigger = rule.document.trigger
    if not isinstance(trigger, OnSchedule):
        return []
    hour, minute = map(int, trigger.at.split(":"))
    day, found = max(after, rule.valid_from).astimezone(zone).date(), list[datetime]()
    while True:
        slot = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
        if slot > until:
            return found
        if slot > after and slot >= rule.valid_from and day.isoweekday() in trigger.weekdays:
            found.append(slot)
        day += timedelta(days=1)


def slot_due(slot: datetime, subject_id: UUID) -> Due:
    """A record's turn in a schedule."""
    return Due(slot, f"slot:{subject_id}:{slot.timestamp():.0f}")


def is_within(window: Window | None, at: datetime, zone: ZoneInfo) -> bool:
    """Whether a rule may act at an instant. A window may pass midnight; it belongs to the day on which it begins."""
    if window is None:
        return True
    local = at.astimezone(zone)
    begins, ends = window.hours
    if begins < ends:
        return local.isoweekday() in window.weekdays and begins <= local.time() < ends
    if local.time() >= begins:
        return local.isoweekday() in window.weekdays
    return local.time() < ends and (local - timedelta(days=1)).isoweekday() in window.weekdays


def is_cooling(rule: RuleVersion, at: datetime, last_fired: Callable[[], datetime | None]) -> bool:
    """Whether it fired on the record a short while ago."""
    hours = rule.document.cool_down_hours
    if not hours:
        return False
    last = last_fired()
    return last is not None and at - last < timedelta(hours=hours)


def _crosses(rule: RuleVersion, subject: Subject) -> bool:
    """Whether the newest score is the one that reached the threshold, after one that was clearly below it."""
    trigger = rule.document.trigger
    if not isinstance(trigger, OnScore):
        return True
    if trigger.subject != subject.type:
        return False
    is_armed, crossed = True, False
    for score in subject.scores:
        crossed = is_armed and score >= trigger.above
        is_armed = not crossed and (is_armed or score < trigger.above - trigger.hysteresis)
    return crossed


def _looked_at(
    condition: Condition | None, record: Mapping[str, Any], subject: Subject, at: datetime
) -> dict[str, Any]:
    """The values that the condition saw, for whoever asks why."""
    if condition is None:
        return {}
    wanted = sorted(path.split(".", 1)[1] for path in condition.fields if path.startswith(f"{subject.type}."))
    values = {f"{subject.type}.{name}": record.get(name) for name in wanted}
    if isinstance(times := values.get(f"{subject.type}.times"), dict):
        values[f"{subject.type}.times"] = {name: times[name] for name in times if name in condition.said}
    return {**values, "now": at.isoformat()} if condition.looks_at_now else values


def _stated(found: Mapping[str, Found]) -> dict[str, Any]:
    """Figures as the log shows them, with their age."""
    stated: dict[str, Any] = {}
    for name, one in found.items():
        stated |= {f"metric.{name}": one.value, f"metric.{name} as of": one.at.isoformat()}
    return stated


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
