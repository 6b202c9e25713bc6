"""Events per second of processor time: one process judges 20 rules of an organization, and replays one over history.

Both are the pure half: what is read from and written to PostgreSQL comes on top. The limit is the same events taken in
(learned by their records) without any rule.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import process_time
from uuid import UUID
from zoneinfo import ZoneInfo

from api.rules.backtest import Replay
from api.rules.document import Document, Mode
from api.rules.facts import Fact, Subject
from api.rules.matching import Rulebook, RuleVersion
from benchmarks.result import BenchmarkResult

_BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
_STAGES = [str(UUID(int=number)) for number in range(1, 7)]
_KINDS = ("deal.stage.changed", "deal.amount.changed", "deal.owner.changed")


def run(*, deals: int = 2_000, events_each: int = 10, rules: int = 20) -> list[BenchmarkResult]:
    """Measure both over `deals` histories."""
    histories = [list(_history(number, events_each)) for number in range(deals)]
    count = deals * events_each
    book = Rulebook({UUID(int=n): [_rule(n)] for n in range(rules)}, ZoneInfo("UTC"), dict.fromkeys(_STAGES, "Stage"))
    began = process_time()
    for history in histories:
        subject = Subject("deal", history[0].aggregate_id)
        for fact in history:
            subject.learn(fact)
    bare = count / (process_time() - began)
    began, fired = process_time(), 0
    for history in histories:
        subject = Subject("deal", history[0].aggregate_id)
        for fact in history:
            subject.learn(fact)
            fired += len(book.set_off(fact, subject))
    judged = count / (process_time() - began)
    replay = Replay.of(_rule(0).document, book, begins=_BEGINNING, ends=_BEGINNING + timedelta(days=4_000))
    began = process_time()
    replayed_firings = sum(len(replay.replay("deal", one[0].aggregate_id, one)) for one in histories)
    replayed = count / (process_time() - began)
    without = "the same events learned without rules"
    return [
        BenchmarkResult(
            name="rules judged", figure=judged, unit="events/s", limit=bare, limit_description=without,
            details={"rules": rules, "events": count, "fired": fired},
        ),
        BenchmarkResult(
            name="rule replayed", figure=replayed, unit="events/s", limit=bare, limit_description=without,
            details={"events": count, "fired": replayed_firings, "a million events take": f"{1e6 / replayed:.1f} s"},
        ),
    ]  # fmt: skip


def _rule(number: int) -> RuleVersion:
    document = Document.model_validate(
        {
            "trigger": {"kind": "event", "event": _KINDS[number % len(_KINDS)]},
            "when": f'deal.amount > {number * 500.0} && deal.status == "open" && event.actor == "user"',
            "actions": [{"do": "task.create", "with": {"title": "Call"}}],
        }
    )
    return RuleVersion(UUID(int=number), 1, f"Rule {number}", None, Mode.LIVE, document, _BEGINNING)


def _history(number: int, events: int) -> Iterator[Fact]:
    generator, deal_id = random.Random(number), UUID(int=10_000 + number)
    at = _BEGINNING + timedelta(minutes=number)
    created = {"pipeline_id": _STAGES[0], "to_stage_id": _STAGES[1], "owner_id": None, "currency": "EUR"}
    created["amount_minor"] = 100  # type: ignore[assignment] # JSON
    for version in range(1, events + 1):
        kind = "deal.created" if version == 1 else generator.choice(_KINDS)
        data = dict(created) if version == 1 else _data(kind, generator)
        at += timedelta(hours=generator.randint(1, 200))
        event_id = UUID(int=(number + 1) * 1_000_000 + version)
        yield Fact(event_id, kind, "deal", deal_id, version, at, at, "user", None, 0, event_id, data)


def _data(kind: str, generator: random.Random) -> dict[str, object]:
    if kind == "deal.stage.changed":
        return {"pipeline_id": _STAGES[0], "to_stage_id": generator.choice(_STAGES[1:])}
    if kind == "deal.amount.changed":
        return {"amount_minor": generator.randint(1, 2_000_000), "currency": "EUR"}
    return {"owner_id": str(UUID(int=generator.randint(1, 9)))}
