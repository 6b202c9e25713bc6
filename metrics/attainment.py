"""What was won of what was to be won: the facts of closings against goals, and the pace at which the period is run.

Goals are facts of the statement like others, under names that no figure bears: they are converted by the same rates,
and no list of deals is behind them. Those of people are held against what people won, those of teams against teams.
"""

from datetime import timedelta
from typing import Any

from contracts.warehouse import Mart
from metrics import facts
from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.money import add_converted
from metrics.period import day_start
from metrics.question import Question

#: What rows hold beside the declared figures.
ADDS = ("goal_minor", "attainment", "deals_goal", "deals_attainment", "elapsed", "pace")

_AMOUNT, _DEALS = "goal won_amount", "goal deals_won"


def build(statement: Statement, question: Question) -> None:
    """Add `facts`: the metric's own, and the goals that lie in the period."""
    facts.add_looked_at(statement, question)
    _add_goals(statement, question)
    own = "subject_id, group_key, stage_id, measure, cast(null as uuid) as lost_reason_id,\n"
    columns = f"{own}  amount_minor, currency, counted_minor, days"
    statement.step("facts", f"select {columns} from credited\nunion all select {columns} from goals")


def shape(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group: what was won and was to be won, and how that stands to the part of the period that is over."""
    rows = facts.shape(question, cells)
    elapsed = _elapsed(question)
    for row in rows:
        amount, deals = (cells.get(name, row["group"]) for name in (_AMOUNT, _DEALS))
        row["goal_minor"] = amount.amount_minor if amount.facts else None
        row["attainment"] = ratio(row["won_amount_minor"], row["goal_minor"] or 0)
        row["deals_goal"] = deals.amount_minor if deals.facts else None
        row["deals_attainment"] = ratio(row["deals_won"], row["deals_goal"] or 0)
        row["elapsed"] = elapsed
        row["pace"] = ratio(row["attainment"], elapsed) if row["attainment"] is not None else None
        row["goals_without_rate"] = amount.elsewhere
    return rows


def _elapsed(question: Question) -> float:
    """Which share of the period was over at as_of."""
    whole = question.ends_at - question.starts_at
    return min(max((question.as_of - question.starts_at) / whole, 0.0), 1.0)


def _add_goals(statement: Statement, question: Question) -> None:
    """Add `goals` in the shape of `credited`: an amount at the rate of the goal's first day, a number as it is."""
    first, end = statement.bind(question.first_day, "date"), statement.bind(question.end_day, "date")
    statement.mart(
        "set_goals",
        Mart.FCT_GOALS,
        columns="goal_id, user_id, team_id, measure, starts_on, target, currency",
        known_at=question.as_of,
        conditions=[f"starts_on >= {first} and ends_on <= {end}", *_of_group(statement, question)],
    )
    days = [
        question.first_day + timedelta(days=number) for number in range((question.end_day - question.first_day).days)
    ]
    firsts = [day for day in days if day.day == 1]
    statement.table(
        "first_days",
        {"day": "date", "begins_at": "timestamptz"},
        [(day, day_start(day, question.zone)) for day in firsts],
    )
    currency = statement.bind(question.currency, "text")
    key = {"owner": "cast(g.user_id as text)", "team": "cast(g.team_id as text)"}.get(
        question.parameters.group_by, "cast(null as text)"
    )
    statement.step(
        "goals_own" if question.is_converted else "goals",
        "select g.goal_id as subject_id, 'goal ' || g.measure as measure, d.begins_at as at,\n"
        "  cast(null as double precision) as days,\n"
        f"  cast(null as uuid) as stage_id, {key} as group_key, g.target as amount_minor,\n"
        f"  coalesce(g.currency, {currency}) as currency,\n"
        f"  case when coalesce(g.currency, {currency}) = {currency} then g.target end as counted_minor\n"
        "from set_goals g join first_days d on d.day = g.starts_on",
    )
    if question.is_converted:
        add_converted(statement, question, "goals_own", into="goals")


def _of_group(statement: Statement, question: Question) -> list[str]:
    """Which goals the rows speak of: people's, teams' or the organization's; of people only those who are seen."""
    owners = question.viewer.owner_ids
    seen_all = [] if owners is None else ["false"]
    match question.parameters.group_by:
        case "owner":
            return ["user_id is not null", *([] if owners is None else [statement.any_of("user_id", sorted(owners))])]
        case "team":
            return ["team_id is not null", *seen_all]
        case _:
            return ["user_id is null and team_id is null", *seen_all]
