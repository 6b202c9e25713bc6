"""What open deals will bring: stalled ones, weighted ones, and a period's forecast. Stocks at the instant spoken of.

How often deals of a stage are won is read from the closings of the year before, as known at `as_of`: nothing later.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from contracts.stages import StageKind
from contracts.warehouse import Mart
from metrics import facts
from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.money import quotient
from metrics.question import Question
from metrics.registry import Figure

_HISTORY = timedelta(days=365)

#: What rows hold beside the declared figures.
FORECAST_ADDS = ("forecast_minor", "best_case_minor")
VELOCITY_ADDS = ("velocity_minor_per_day", "amount_per_win_minor")

Weigh = Callable[[Statement, str], str]

#: A fact in a stage, as both kinds of forecast write it.
COLUMNS = (
    "c.subject_id, c.group_key, c.stage_id, {measure} as measure, cast(null as uuid) as lost_reason_id,\n"
    "  c.amount_minor, c.currency, {counted} as counted_minor, c.days"
)


def build_stalled(statement: Statement, question: Question) -> None:
    """Add `facts`: open deals that are in their stage for longer than it is meant to take."""
    facts.add_looked_at(statement, question)
    usual = question.parameters.stalled_days
    statement.table(
        "targets",
        {"stage_id": "uuid", "days": "double precision"},
        [(stage.stage_id, float(stage.target_days or usual)) for stage in question.stages],
    )
    chosen = COLUMNS.format(measure="c.measure", counted="c.counted_minor")
    statement.step(
        "facts", f"select {chosen} from credited c join targets t on t.stage_id = c.stage_id where c.days > t.days"
    )


def build_weighted(statement: Statement, question: Question) -> None:
    """Add `facts`: open deals, and once more at their weight; and how often their stages' deals were won."""
    facts.add_looked_at(statement, question)
    _add_odds(statement, question)
    plain = COLUMNS.format(measure="c.measure", counted="c.counted_minor")
    statement.step(
        "facts", f"select {plain} from credited c\nunion all {weighted(statement, 'credited')}\n{_history()}"
    )


def build_forecast(statement: Statement, question: Question, *, weigh: Weigh | None = None) -> None:
    """Add `facts`: deals won in the period up to the instant; open ones due in it, and once more at their weight.

    The weight is their stage's share of wins, unless `weigh` selects other facts of a step's deals.
    """
    facts.add_looked_at(statement, question)
    _add_odds(statement, question)
    due = facts.key(question, _figure(question, "due_deals"))
    at = statement.bind(question.at, "timestamptz")
    first, end = statement.bind(question.first_day, "date"), statement.bind(question.end_day, "date")
    statement.mart(
        "planned",
        Mart.FCT_DEAL_VERSIONS,
        columns="deal_id as subject_id",
        known_at=question.as_of,
        conditions=[
            f"valid_from <= {at} and (valid_to is null or valid_to > {at})",
            f"close_date >= {first} and close_date < {end}",
        ],
    )
    name = statement.bind(due, "text")
    statement.step(
        "due", f"select c.* from credited c join planned p on p.subject_id = c.subject_id where c.measure = {name}"
    )
    plain = COLUMNS.format(measure="c.measure", counted="c.counted_minor")
    statement.step(
        "placed",
        f"select {plain} from credited c where c.measure <> {name} and c.at <= {at}\n"
        f"union all select {plain} from due c\nunion all {(weigh or weighted)(statement, 'due')}",
    )
    statement.step(
        "facts",
        "select subject_id, group_key, cast(null as uuid) as stage_id, measure, lost_reason_id,\n"
        "  amount_minor, currency, counted_minor, days from placed",
    )


def shape_weighted(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group and open stage, with the stage's odds."""
    rows = facts.shape(question, cells)
    for row in rows:
        part = cells.get("weighted", row["group"], row["stage_id"])
        won, closed = (cells.get(name, None, row["stage_id"]).facts for name in ("history won", "history closed"))
        row |= {
            "weighted_amount_minor": part.amount_minor,
            "win_probability": ratio(won, closed),
            "closed_deals": closed,
        }
    return [row for row in rows if row["open_deals"] or _is_open(question, row["stage_id"])]


def shape_forecast(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group: what is booked, due, weighted, and the two sums that people call forecast and best case."""
    rows = facts.shape(question, cells)
    for row in rows:
        row["weighted_amount_minor"] = cells.get("weighted", row["group"]).amount_minor
        row["forecast_minor"] = row["booked_amount_minor"] + row["weighted_amount_minor"]
        row["best_case_minor"] = row["booked_amount_minor"] + row["due_amount_minor"]
    return rows


def shape_velocity(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group, with the money per day that the figures make together."""
    rows = facts.shape(question, cells)
    for row in rows:
        per_win, days = ratio(row["won_amount_minor"], row["deals_won"]), row["median_cycle_days"]
        known = row["win_rate"] is not None and per_win is not None and days
        row["amount_per_win_minor"] = per_win
        row["velocity_minor_per_day"] = row["open_deals"] * row["win_rate"] * per_win / days if known else None
    return rows


def key(question: Question, figure: Figure) -> str:
    """The name in the statement of the facts behind a figure."""
    return figure.fact if figure.fact in facts.DERIVED else facts.key(question, figure)


def _figure(question: Question, name: str) -> Figure:
    return next(figure for figure in question.definition.figures if figure.name == name)


def _is_open(question: Question, stage_id: str) -> bool:
    return any(str(stage.stage_id) == stage_id and stage.kind is StageKind.OPEN for stage in question.stages)


def _add_odds(statement: Statement, question: Question) -> None:
    """`odds(stage_id, won, closed)`: deals closed in the year before that had visited each stage, and those won."""
    at = statement.bind(question.at, "timestamptz")
    since = statement.bind(question.at - _HISTORY, "timestamptz")
    statement.step(
        "closings",
        "select subject_id, status from subjects\n"
        f"where status in ('won', 'lost') and closed_at >= {since} and closed_at < {at}",
    )
    statement.step(
        "odds",
        "select e.stage_id, count(distinct c.subject_id) as closed,\n"
        "  count(distinct case when c.status = 'won' then c.subject_id end) as won\n"
        "from entries e join closings c on c.subject_id = e.subject_id group by e.stage_id",
    )


def weighted(statement: Statement, source: str) -> str:
    """The facts of a step's deals once more, each at its stage's share of wins."""
    amount = f"cast(c.counted_minor as {statement.dialect.wide_integer})"
    counted = quotient(statement, f"{amount} * o.won", "o.closed", halves_go_up=True)
    columns = COLUMNS.format(measure="'weighted'", counted=counted)
    return f"select {columns} from {source} c join odds o on o.stage_id = c.stage_id"


def _history() -> str:
    """The deals by which odds were told, as facts of their own: counted in no group."""
    nothing = ", ".join(f"cast(null as {kind})" for kind in ("uuid", "bigint", "text", "bigint", "double precision"))
    visited = "from entries e join closings c on c.subject_id = e.subject_id"
    return "\n".join(
        f"union all select distinct e.subject_id, cast(null as text), e.stage_id, '{measure}', {nothing}\n"
        f"  {visited}{where}"
        for measure, where in (("history closed", ""), ("history won", " where c.status = 'won'"))
    )
