"""Metrics that count deals by how they stand: created, won, lost, open, and what they are worth."""

from typing import Any

from contracts.stages import Outcome
from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.credit import CLOSED, add_cohort, add_credited, add_deals, add_entries, period
from metrics.parameters import CohortKind, GroupBy
from metrics.question import Question

_NO_DAYS = "cast(null as double precision)"
_DAY = 86_400_000_000

#: Columns of `facts` where no stage and no reason is told apart.
_PLAIN = (
    "deal_id, group_key, cast(null as uuid) as stage_id, measure, cast(null as uuid) as lost_reason_id,\n"
    "  amount_minor, currency, counted_minor, days"
)


def build_win_rate(statement: Statement, question: Question) -> None:
    """Facts won, lost and open: the present status of each deal of the cohort."""
    add_deals(statement, question)
    if question.parameters.cohort.kind is CohortKind.ENTERED:
        add_entries(statement, question)
    add_cohort(statement, question)
    add_credited(statement, question)
    statement.step(
        "facts",
        "select c.deal_id, c.group_key, cast(null as uuid) as stage_id, d.status as measure,\n"
        "  cast(null as uuid) as lost_reason_id, c.amount_minor, c.currency, c.counted_minor, c.days\n"
        "from credited c join deals d on d.deal_id = c.deal_id",
    )


def shape_win_rate(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group: won over won and lost; open deals are shown and no part of the rate."""
    unit = question.parameters.unit
    rows = []
    for group in cells.groups() or [None]:
        won, lost, still_open = (cells.get(name, group).count(unit) for name in ("won", "lost", "open"))
        rows.append({"group": group, "won": won, "lost": lost, "open": still_open, "win_rate": ratio(won, won + lost)})
    return rows


def build_deals_created(statement: Statement, question: Question) -> None:
    """Facts deals_created: deals created in the period."""
    _build_cohort_facts(statement, question, "deals_created", "true")


def build_bookings(statement: Statement, question: Question) -> None:
    """Facts deals_won: deals won in the period."""
    _build_cohort_facts(statement, question, "deals_won", f"d.status = '{Outcome.WON.value}'")


def _build_cohort_facts(statement: Statement, question: Question, measure: str, condition: str) -> None:
    add_deals(statement, question)
    add_cohort(statement, question)
    add_credited(statement, question)
    statement.step(
        "facts",
        f"select c.deal_id, c.group_key, cast(null as uuid) as stage_id, '{measure}' as measure,\n"
        "  cast(null as uuid) as lost_reason_id, c.amount_minor, c.currency, c.counted_minor, c.days\n"
        f"from credited c join deals d on d.deal_id = c.deal_id where {condition}",
    )


def shape_deals_created(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group."""
    return _shape_counts(question, cells, count="deals_created", amount="amount_minor")


def shape_bookings(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group."""
    return _shape_counts(question, cells, count="deals_won", amount="won_amount_minor")


def _shape_counts(question: Question, cells: Cells, *, count: str, amount: str) -> list[dict[str, Any]]:
    rows = []
    for group in cells.groups() or [None]:
        cell = cells.get(count, group)
        rows.append({"group": group, count: cell.deals, amount: cell.amount_minor, "currency": question.currency})
    return rows


def build_pipeline_value(statement: Statement, question: Question) -> None:
    """Facts open_deals: deals open at `as_of`, in the stage where they stood, worth what they were worth then."""
    add_deals(statement, question)
    now = statement.bind(question.as_of, "timestamptz")
    statement.step(
        "moments",
        f"select deal_id, 'open_deals' as measure, {now} as at, {_NO_DAYS} as days\nfrom deals where status = 'open'",
    )
    add_credited(statement, question)
    statement.step(
        "facts",
        "select c.deal_id, c.group_key, d.stage_id, c.measure, cast(null as uuid) as lost_reason_id,\n"
        "  c.amount_minor, c.currency, c.counted_minor, c.days\n"
        "from credited c join deals d on d.deal_id = c.deal_id",
    )


def shape_pipeline_value(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group and open stage, pipeline by pipeline; a retired stage only where a deal still stands in it."""
    occupied = cells.stages("open_deals")
    stages = [
        stage
        for stage in question.stages
        if str(stage.stage_id) in occupied or (stage.kind == "open" and not stage.is_retired)
    ]
    stages.sort(key=lambda stage: (question.labels.get(str(stage.pipeline_id), ""), str(stage.pipeline_id), stage.rank))
    rows = []
    for group in cells.groups() or [None]:
        for stage in stages:
            cell = cells.get("open_deals", group, stage.stage_id)
            rows.append(
                {
                    "group": group,
                    "pipeline_id": str(stage.pipeline_id),
                    "stage_id": str(stage.stage_id),
                    "position": stage.position,
                    "open_deals": cell.deals,
                    "open_amount_minor": cell.amount_minor,
                    "currency": question.currency,
                }
            )
    return rows


def build_team_performance(statement: Statement, question: Question) -> None:
    """Facts deals_created, deals_won, deals_lost and open_deals, each credited to the owner at its own moment."""
    add_deals(statement, question, only_viewers=False)
    start, end = period(statement, question)
    now = statement.bind(question.as_of, "timestamptz")
    cycle = statement.dialect.microseconds_between("created_at", "closed_at")
    statement.step(
        "moments",
        f"select deal_id, 'deals_created' as measure, created_at as at, {_NO_DAYS} as days from deals\n"
        f"  where created_at >= {start} and created_at < {end}\n"
        f"union all select deal_id, 'deals_' || status, closed_at, cast({cycle} as double precision) / {_DAY}\n"
        "  from deals\n"
        f"  where status in ({CLOSED}) and closed_at >= {start} and closed_at < {end}\n"
        f"union all select deal_id, 'open_deals', {now}, {_NO_DAYS} from deals where status = 'open'",
    )
    add_credited(statement, question, only_viewers=True)
    statement.step("facts", f"select {_PLAIN} from credited")


def shape_team_performance(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per owner or team. An owner's `team_id` is the present team and tells nothing about the credit."""
    is_by_owner = question.parameters.group_by is GroupBy.OWNER
    rows = []
    for group in cells.groups():
        created, won, lost, still_open = (
            cells.get(name, group) for name in ("deals_created", "deals_won", "deals_lost", "open_deals")
        )
        rows.append(
            {
                "owner_id": group if is_by_owner else None,
                "team_id": question.teams.of_user.get(group or "") if is_by_owner else group,
                "deals_created": created.deals,
                "deals_won": won.deals,
                "deals_lost": lost.deals,
                "win_rate": ratio(won.deals, won.deals + lost.deals),
                "won_amount_minor": won.amount_minor,
                "currency": question.currency,
                "median_cycle_days": won.median_days,
                "open_deals": still_open.deals,
                "open_amount_minor": still_open.amount_minor,
            }
        )
    return rows
