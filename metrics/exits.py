"""Where deals go from a stage, and how long they take from one stage to another, those who have yet to arrive included.

An exit is a deal's last way out of a stage to another one within the period: moved on, moved back, won or lost.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any

from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.dialect import DAY
from metrics.errors import ParameterError
from metrics.moments import add_credited, add_entries, add_subjects, band_rank
from metrics.question import Question

#: Quantile of the normal distribution for 95 % confidence on both sides.
_Z = 1.959963984540054

#: Points of a curve; a longer one keeps its first days and every so-manieth of the others.
_MOST_POINTS = 120


def build_exits(statement: Statement, question: Question) -> None:
    """Add `facts`: per deal, stage and next stage the last exit within the period."""
    add_subjects(statement, question)
    add_entries(statement, question)
    start, end = statement.bind(question.starts_at, "timestamptz"), statement.bind(question.ends_at, "timestamptz")
    stayed = statement.dialect.microseconds_between("e.entered_at", "e.left_at")
    statement.step(
        "ways_out",
        f"select d.subject_id, e.left_at as at, cast({stayed} as double precision) / {DAY} as days, e.stage_id,\n"
        "  e.next_stage_id, row_number() over (\n"
        "    partition by d.subject_id, e.stage_id, e.next_stage_id order by e.entry_number desc) as from_the_last\n"
        "from entries e join subjects d on d.subject_id = e.subject_id\n"
        f"where e.left_at >= {start} and e.left_at < {end} and e.next_stage_id is not null",
    )
    statement.step("moments", "select *, 'exits' as measure from ways_out where from_the_last = 1")
    add_credited(statement, question)
    statement.step(
        "facts",
        "select subject_id, group_key, stage_id, measure, cast(null as uuid) as lost_reason_id,\n"
        "  amount_minor, currency, counted_minor, days from credited",
    )


def shape_exits(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per stage and group that any deal went to, in the order of the pipeline."""
    ranks = {str(stage.stage_id): stage.rank for stage in question.stages}
    rows = []
    for stage in question.stages:
        found = [(group, cells.get("exits", group, stage.stage_id)) for group in cells.groups()]
        whole = sum(cell.facts for _, cell in found)
        for group, cell in sorted(found, key=lambda each: _place(question, ranks, each[0])):
            if cell.facts:
                rows.append(
                    {
                        "group": group,
                        "stage_id": str(stage.stage_id),
                        "position": stage.position,
                        "kind": stage.kind.value,
                        "exits": cell.facts,
                        "share_of_exits": ratio(cell.facts, whole),
                        "exit_amount_minor": cell.amount_minor,
                        "currency": question.currency,
                        "median_days": cell.days.get(0.5),
                        **({"p90_days": cell.days.get(0.9)} if 0.9 in question.definition.percentiles else {}),
                    }
                )
    return rows


def _place(question: Question, ranks: Mapping[str, int], group: str | None) -> tuple[int, str]:
    if question.parameters.group_by == "days":
        return band_rank(group), ""
    return ranks.get(group or "", 0), group or ""


def build_between(statement: Statement, question: Question) -> None:
    """Add `facts`: deals that began in the period, `arrived` or `on_the_way`, with the days that it took or has taken.

    They begin with their first entry into `from_stage` (with their creation, where none is asked), and arrive with the
    first entry into `to_stage` (any won stage) after that.
    """
    add_subjects(statement, question)
    add_entries(statement, question)
    start, end = statement.bind(question.starts_at, "timestamptz"), statement.bind(question.ends_at, "timestamptz")
    as_of = statement.bind(question.as_of, "timestamptz")
    statement.step(
        "begun",
        f"select e.subject_id, min(e.entry_number) as entry_number from entries e{_where_from(statement, question)}\n"
        "group by e.subject_id",
    )
    statement.step(
        "begins",
        "select b.subject_id, b.entry_number, e.entered_at as at from begun b\n"
        "join subjects d on d.subject_id = b.subject_id\n"
        "join entries e on e.subject_id = b.subject_id and e.entry_number = b.entry_number\n"
        f"where e.entered_at >= {start} and e.entered_at < {end}",
    )
    statement.step(
        "arrivals",
        "select b.subject_id, min(e.entered_at) as arrived_at from begins b\n"
        "join entries e on e.subject_id = b.subject_id and e.entry_number > b.entry_number\n"
        f"where {_is_there(statement, question)} group by b.subject_id",
    )
    took = statement.dialect.microseconds_between("b.at", f"coalesce(a.arrived_at, {as_of})")
    statement.step(
        "moments",
        "select b.subject_id, case when a.arrived_at is null then 'on_the_way' else 'arrived' end as measure, b.at,\n"
        f"  cast({took} as double precision) / {DAY} as days, cast(null as uuid) as stage_id\n"
        "from begins b left join arrivals a on a.subject_id = b.subject_id",
    )
    add_credited(statement, question)
    statement.step(
        "facts",
        "select subject_id, group_key, stage_id, measure, cast(null as uuid) as lost_reason_id,\n"
        "  amount_minor, currency, counted_minor, days from credited",
    )


def _where_from(statement: Statement, question: Question) -> str:
    stage_id = question.parameters.from_stage
    if stage_id is None:
        return ""
    _check(question, "from_stage", stage_id)
    return f" where e.stage_id = {statement.bind(stage_id, 'uuid')}"


def _is_there(statement: Statement, question: Question) -> str:
    stage_id = question.parameters.to_stage
    if stage_id is None:
        return "e.status = 'won'"
    _check(question, "to_stage", stage_id)
    return f"e.stage_id = {statement.bind(stage_id, 'uuid')}"


def _check(question: Question, name: str, stage_id: object) -> None:
    if all(stage.stage_id != stage_id for stage in question.stages):
        raise ParameterError(name, "there is no such stage in the pipeline, as known at as_of")


def survey_between() -> str:
    """How many facts took how many whole days."""
    return (
        "select group_key, measure, cast(floor(days) as bigint) as day, cast(count(*) as bigint) as facts\n"
        "from facts group by 1, 2, 3"
    )


def shape_between(question: Question, cells: Cells, survey: Sequence[tuple[Any, ...]] = ()) -> list[dict[str, Any]]:
    """Rows per group, each with its curve."""
    is_banded = question.parameters.group_by == "days"  # within a band there is nothing to estimate
    found: dict[str | None, dict[str, Counter[int]]] = defaultdict(
        lambda: {"arrived": Counter(), "on_the_way": Counter()}
    )
    for group, measure, day, facts in survey:
        found[group][measure][day] += facts
    rows = []
    groups = cells.groups() or [None]
    for group in sorted(groups, key=band_rank) if is_banded else groups:
        arrived, waiting = cells.get("arrived", group), cells.get("on_the_way", group)
        points = [] if is_banded else curve(found[group]["arrived"], found[group]["on_the_way"])
        rows.append(
            {
                "group": group,
                "begun": arrived.facts + waiting.facts,
                "arrived": arrived.facts,
                "on_the_way": waiting.facts,
                "median_days": arrived.days.get(0.5),
                "p90_days": arrived.days.get(0.9),
                "estimated_median_days": _first_day(points, 0.5),
                "estimated_p90_days": _first_day(points, 0.9),
                "curve": _thinned([point.described() for point in points]),
            }
        )
    return rows


@dataclass(frozen=True)
class Point:
    """What is estimated of the share that has arrived by the end of a day, with bounds of 95 % confidence."""

    day: int
    at_risk: int
    arrived: int
    share: float
    low: float
    high: float

    def described(self) -> dict[str, Any]:
        """As a row shows it."""
        return {name: getattr(self, name) for name in ("day", "at_risk", "arrived", "share", "low", "high")}


def curve(arrived: Counter[int], censored: Counter[int]) -> list[Point]:
    """Kaplan and Meier's estimate by whole days, with Greenwood's variance on the scale of log(-log).

    Who is still on the way counts as long as they were watched: on the day on which that ends they are at risk still.
    """
    at_risk = arrived.total() + censored.total()
    staying, variance, points = 1.0, 0.0, []
    for day in sorted(arrived.keys() | censored.keys()):
        events = arrived[day]
        if events:
            staying *= 1 - events / at_risk
            variance += events / (at_risk * (at_risk - events)) if at_risk > events else 0.0
            low, high = _bounds(staying, variance)
            points.append(Point(day, at_risk, events, 1 - staying, low, high))
        at_risk -= events + censored[day]
    return points


def _bounds(staying: float, variance: float) -> tuple[float, float]:
    """Of the share that has arrived; certain where all have."""
    if staying <= 0:
        return 1.0, 1.0
    spread = _Z * sqrt(variance) / abs(log(staying))
    return 1 - staying ** exp(-spread), 1 - staying ** exp(spread)


def _first_day(points: list[Point], share: float) -> int | None:
    """The first day by whose end so many have arrived; None where the estimate does not reach it."""
    place = bisect_left(points, share, key=lambda point: point.share)
    return points[place].day + 1 if place < len(points) else None


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = -(-len(points) // _MOST_POINTS)
    return points if step <= 1 else [point for number, point in enumerate(points) if number % step == step - 1]
