"""Questions drawn by a seeded generator: any metric, with any of the parameters that it takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from contracts.events.pipelines import StageCreated
from metrics.registry import CUSTOM, Definition
from metrics.rows import NO_GROUP, CellAddress
from tests.event_history import BEGINNING, AnyEvent

#: Kinds whose rows stand beside each other by something else than group and stage: their own tests list what is behind.
_OTHER_ROWS = {"calibration", "outcomes", "conversions", "experiment", "scored_accuracy", "conversion_change"}


@dataclass(frozen=True)
class Known:
    """What an organization's questions may name: each pipeline with its stages, people, teams, fields of deals."""

    pipelines: dict[UUID, list[UUID]]
    owners: Sequence[UUID]
    teams: Sequence[UUID]
    fields: Sequence[UUID] = ()
    begins: datetime = BEGINNING
    days: int = 120


def known_of(events: Sequence[AnyEvent]) -> Known:
    """What the events of one organization speak of."""
    ids = {
        kind: [event.aggregate_id for event in events if event.type == f"{kind}.created"]
        for kind in ("pipeline", "user", "team")
    }
    stages: dict[UUID, list[UUID]] = {pipeline: [] for pipeline in ids["pipeline"]}
    for event in events:
        if isinstance(event.data, StageCreated):
            stages[event.data.pipeline_id].append(event.aggregate_id)
    return Known(stages, ids["user"], ids["team"])


def question(definition: Definition, random: Random, known: Known) -> dict[str, str]:
    """A question that the metric takes; what it requires is in it."""
    pipeline = random.choice(list(known.pipelines))
    stages = known.pipelines[pipeline]
    steps = definition.entity.steps
    names = [stage.stage for stage in steps.stages] if steps and steps.stages else [str(stage) for stage in stages]
    first = known.begins.date() + timedelta(days=random.randrange(-10, known.days // 2))
    end = first + timedelta(days=random.randrange(1, 2 * known.days))
    as_of = known.begins + timedelta(days=random.random() * 2 * known.days)
    splits = [each for each in definition.offered if each != CUSTOM or known.fields]
    draws: dict[str, Callable[[], object]] = {
        "pipeline_id": lambda: pipeline,
        "from": lambda: first,
        "to": lambda: end,
        "cohort": lambda: _cohort(random.choice(definition.cohorts), random.choice(names)),
        "order": lambda: random.choice(["reached", "visited", "strict"]),
        "regress": lambda: random.choice(["furthest", "current"]),
        "window_days": lambda: random.choice([1, 7, 40]),
        "unit": lambda: random.choice(["deals", "amount"]),
        "group_by": lambda: _split(random.choice(splits), random, known),
        "currency": lambda: random.choice(["EUR", "USD", "JPY"]),
        "as_of": lambda: _text(as_of),
        "at": lambda: _text(min(as_of, known.begins + timedelta(days=random.random() * known.days))),
        "from_stage": lambda: stages[0],
        "to_stage": lambda: random.choice(stages[1:]),
        "stalled_days": lambda: random.choice([1, 20]),
        "before_from": lambda: first - timedelta(days=30),
        "before_to": lambda: first,
    }
    together = ({"from", "to"}, {"at", "as_of"}, {"before_from", "before_to", "from"})
    left_out = {name for name in draws if name not in definition.required and random.random() < 0.4}
    for names_together in together:
        if left_out & names_together:
            left_out |= names_together
    asked = {name: str(draws[name]()) for name in definition.parameters if name in draws and name not in left_out}
    if random.random() < 0.15:
        asked["whose"] = random.choice([f"owner:{random.choice(known.owners)}", f"team:{random.choice(known.teams)}"])
    return asked


class Shown(NamedTuple):
    """A figure of an answer that is not zero, where it stands, and whether it is a sum of money."""

    cell: CellAddress
    figure: int
    is_amount: bool


def shown(definition: Definition, asked: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Iterator[Shown]:
    """The figures of an answer that facts add up to."""
    if definition.kind in _OTHER_ROWS:
        return
    is_split = asked.get("group_by", definition.defaults.get("group_by", "none")) != "none"
    for row in rows:
        for measure in definition.measures:
            # what a step began with is told at the stage before
            if measure.is_timed or not row.get(measure.name) or measure.name == "entered_before":
                continue
            stage_id = None if measure.name == "cohort" else row.get("stage_id")  # of the whole group
            cell = CellAddress(measure.name, stage_id, (_key(row) or NO_GROUP) if is_split else None)
            is_amount = measure.aggregate == "amount" or asked.get("unit") == "amount"
            yield Shown(cell, row[measure.name], is_amount)


def _key(row: Mapping[str, Any]) -> str | None:
    key: str | None = row["group"] if "group" in row else row.get("owner_id") or row.get("team_id")
    return key


def _cohort(kind: str, stage: str) -> str:
    return f"entered:{stage}" if kind == "entered" else kind


def _split(dimension: str, random: Random, known: Known) -> str:
    return f"{CUSTOM}:{random.choice(known.fields)}" if dimension == CUSTOM else dimension


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()
