"""Holds the log of operations, PostgreSQL, topics, raw and marts against each other, once everything has come to rest.

Every operation that was acknowledged is there, every refused one is not, an unknown one is there whole or not at all.
PostgreSQL's event log then is the measure for all stations behind it: nothing lost, nothing twice, nothing reordered.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx

from tests.faults import evidence
from tests.faults.evidence import Copy, Event
from tests.faults.operations import History, Operation, Outcome, Tenant

_EXAMPLES = 3
_ENTRIES = ("deal.created", "deal.stage.changed", "deal.closed", "deal.reopened")


@dataclass
class Report:
    """What was looked at, and what is wrong with it."""

    counts: dict[str, int] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=dict)

    def found(self, what: str, example: object) -> None:
        """Note a violation."""
        self.violations.setdefault(what, []).append(str(example))

    def each(self, what: str, examples: Iterable[object]) -> None:
        """Note several."""
        for example in examples:
            self.found(what, example)

    def __str__(self) -> str:
        lines = [", ".join(f"{name}: {count}" for name, count in self.counts.items())]
        for what, examples in self.violations.items():
            lines += [f"{len(examples)} x {what}", *(f"    {example}" for example in examples[:_EXAMPLES])]
        return "\n".join(lines)

    def assert_clean(self) -> None:
        """Fail with all of it unless nothing is wrong."""
        assert not self.violations, str(self)


def check_operations(report: Report, history: History, events: Sequence[Event]) -> None:
    """Operations against the event log, by the correlation id of each attempt."""
    by_attempt: dict[UUID, list[Event]] = {}
    by_deal: dict[str, list[Event]] = {}
    for event in events:
        by_attempt.setdefault(event.correlation_id, []).append(event)
        by_deal.setdefault(str(event.aggregate_id), []).append(event)
    for operation in history.operations:
        effects = [by_attempt[attempt] for attempt in operation.attempts if attempt in by_attempt]
        if len(effects) > 1:
            report.found("operation took effect in more than one attempt", operation)
        effect = [event for one in effects for event in one if event.aggregate_type == "deal"]
        _check_outcome(report, operation, effect, by_deal)
    report.counts |= {outcome.value: sum(1 for _ in history.of(outcome)) for outcome in Outcome}


def _check_outcome(report: Report, operation: Operation, effect: list[Event], by_deal: dict[str, list[Event]]) -> None:
    if any(str(event.organization_id) != operation.organization_id for event in effect):
        report.found("operation changed another organization", operation)
    if operation.kind == "trespass":
        if operation.outcome is Outcome.OK or effect:
            report.found("a stranger reached a deal", operation)
    elif operation.outcome is Outcome.FAIL and effect:
        report.found("refused operation is there", operation)
    elif operation.outcome is Outcome.OK:
        history = by_deal.get(operation.answer["id"], [])
        if not _is_told(operation, effect, history):
            report.found("acknowledged operation is not there as it was answered", operation)
    elif operation.outcome is Outcome.INFO and operation.expected_version is not None and effect:
        first = min(event.aggregate_version for event in effect)
        if first != operation.expected_version + 1:
            report.found("an If-Match was not honoured", operation)


def _is_told(operation: Operation, effect: list[Event], history: list[Event]) -> bool:
    version = operation.answer["version"]
    versions = sorted(event.aggregate_version for event in effect)
    match operation.kind:
        case "create":
            return versions == [version] == [1]
        case "amount":
            assert operation.expected_version is not None
            return versions == list(range(operation.expected_version + 1, version + 1))
        case "move" if not effect:  # to where it was: nothing to tell
            entries = [event for event in history if event.type in _ENTRIES and event.aggregate_version <= version]
            return f'"to_stage_id": "{operation.body["stage_id"]}"' in entries[-1].data
        case _:
            return versions == [version] and operation.expected_version in (None, version - 1)


def _entries(events: Sequence[Event]) -> Iterator[Event]:
    """The events that enter a stage; staying in one is no entry, in whatever order it was learned."""
    stages: dict[UUID, str] = {}
    entering = (event for event in events if event.type in _ENTRIES)
    for event in sorted(entering, key=lambda one: (one.occurred_at, one.aggregate_version)):
        stage = json.loads(event.data)["to_stage_id"]
        if stages.get(event.aggregate_id) != stage:
            yield event
        stages[event.aggregate_id] = stage


def check_log(report: Report, events: Sequence[Event], deals: dict[UUID, tuple[int, evidence.DealRow]]) -> None:
    """The event log in itself and against the rows."""
    report.counts["events"] = len(events)
    versions: dict[UUID, list[int]] = {}
    for event in events:
        versions.setdefault(event.aggregate_id, []).append(event.aggregate_version)
    report.each("aggregate without contiguous versions in the log", _with_gaps(versions))
    report.each(
        "deal whose version is not that of its newest event",
        (deal for deal, (version, _) in deals.items() if versions.get(deal, [0])[-1] != version),
    )


def check_topics(report: Report, copies: Sequence[Copy], events: Sequence[Event], *, is_complete: bool) -> None:
    """The topics; `is_complete`: the broker was never killed, so they hold everything."""
    report.counts["in topics"] = len(copies)
    _check_copies(report, "topics", copies, events, is_complete=is_complete)
    first = _first_deliveries(copies)
    report.each("out of order in the topics", ((key, seen) for key, seen in first.items() if not _ascends(seen)))
    if is_complete:
        report.each("aggregate without contiguous versions in the topics", _with_gaps(first))


def check_raw(report: Report, copies: Sequence[Copy], events: Sequence[Event], epochs: Sequence[UUID]) -> None:
    """The raw relation: everything, each published record once, and in order when read epoch after epoch."""
    report.counts |= {"in raw": len(copies), "epochs": len(epochs)}
    _check_copies(report, "raw", copies, events, is_complete=True)
    places = Counter(copy.place for copy in copies)
    report.each("record twice in raw", (place for place, count in places.items() if count > 1))
    age = {epoch: index for index, epoch in enumerate(epochs)}
    ordered = sorted(copies, key=lambda copy: (age[copy.epoch], copy.topic, copy.partition, copy.offset))
    report.each("aggregate without contiguous versions in raw", _with_gaps(_first_deliveries(ordered)))
    report.counts["published twice"] = len(copies) - len({copy.event.id for copy in copies})


def check_marts(
    report: Report, marts: evidence.Marts, events: Sequence[Event], deals: dict[UUID, tuple[int, evidence.DealRow]]
) -> None:
    """The published marts: as many events as the log, each stage entry once, each deal as the API has it."""
    expected = Counter(event.organization_id for event in events)
    if expected != Counter(marts.event_counts):
        report.found("events counted by the marts are not those of the log", (expected, marts.event_counts))
    entries = Counter(marts.stage_entries)
    logged = {event.id for event in _entries(events) if event.aggregate_id in deals}
    report.each("stage entry twice in the marts", (key for key, count in entries.items() if count > 1))
    report.each("stage entry lost in the marts", logged - set(entries))
    report.each("stage entry of the marts that nobody logged", set(entries) - logged)
    for deal, (_, row) in deals.items():
        if marts.deals.get(deal) != [row]:
            report.found("deal of the marts is not as the API has it", (deal, row, marts.deals.get(deal)))
    report.counts["stage entries in marts"] = len(marts.stage_entries)


def check_funnel(report: Report, api_url: str, tenant: Tenant, events: Sequence[Event]) -> None:
    """The published funnel, as a person is shown it: deals that ever visited each stage."""
    visited: dict[str, set[UUID]] = {}
    for event in events:
        if event.type in _ENTRIES and str(event.organization_id) == tenant.organization_id:
            stage = json.loads(event.data)["to_stage_id"]
            visited.setdefault(stage, set()).add(event.aggregate_id)
    first, last = min(event.occurred_at for event in events), max(event.occurred_at for event in events)
    parameters = {
        "pipeline_id": tenant.pipeline_id,
        "from": f"{first.year}-01-01",
        "to": f"{last.year + 1}-01-01",
        "order": "visited",
    }
    headers = {"Authorization": f"Bearer {tenant.access_token}", "Cache-Control": "no-cache"}
    answer = httpx.get(f"{api_url}/v1/metrics/funnel", params=parameters, headers=headers, timeout=30)
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["rows"]
    shown = {row["stage_id"]: row["entered"] for row in rows if row["entered"]}
    counted = {stage: len(deals) for stage, deals in visited.items()}
    if shown != counted:
        report.found("funnel does not count what was logged", f"shown {shown}, logged {counted}")


def _check_copies(
    report: Report, station: str, copies: Sequence[Copy], events: Sequence[Event], *, is_complete: bool
) -> None:
    known = {event.id: event for event in events}
    report.each(f"event in {station} that nobody logged", (c.event for c in copies if c.event.id not in known))
    report.each(
        f"event in {station} with other content",
        ((known[c.event.id], c.event) for c in copies if known.get(c.event.id, c.event) != c.event),
    )
    if is_complete:
        there = {copy.event.id for copy in copies}
        report.each(f"event lost before {station}", (event for event in events if event.id not in there))


def _first_deliveries(copies: Iterable[Copy]) -> dict[UUID, list[int]]:
    """Versions of each aggregate in the order in which a consumer that knows each event id first saw them."""
    seen: set[UUID] = set()
    versions: dict[UUID, list[int]] = {}
    for copy in copies:
        if copy.event.id not in seen:
            seen.add(copy.event.id)
            versions.setdefault(copy.event.aggregate_id, []).append(copy.event.aggregate_version)
    return versions


def _ascends(versions: Sequence[int]) -> bool:
    return all(earlier < later for earlier, later in pairwise(versions))


def _with_gaps(versions: dict[UUID, list[int]]) -> Iterable[object]:
    return ((key, seen) for key, seen in versions.items() if seen != list(range(1, len(seen) + 1)))
