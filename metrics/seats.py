"""Seats that are paid for against the people who are active, at an instant.

Both are facts of the statement under names that no figure bears, as goals are: no list is behind them.
"""

from typing import Any

from contracts.warehouse import Mart
from metrics import facts
from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.question import Question

_SEATS, _PEOPLE = "paid seats", "active people"


def build(statement: Statement, question: Question) -> None:
    """Add `facts`: the subscriptions that hold, their seats, and the people."""
    facts.add_looked_at(statement, question)
    seen = [] if question.viewer.owner_ids is None else ["false"]  # both are the organization's own
    at = statement.bind(question.as_of, "timestamptz")
    valid = f"is_active and valid_from <= {at} and (valid_to is null or valid_to > {at})"
    statement.mart("people", Mart.DIM_USERS, columns="user_id", known_at=question.as_of, conditions=[valid, *seen])
    statement.mart(
        "seats", Mart.FCT_SUBSCRIPTIONS, columns="subscription_id, seats", known_at=question.as_of, conditions=seen
    )
    key = "cast(null as text) as group_key, cast(null as uuid) as stage_id"
    rest = "cast(null as uuid) as lost_reason_id"
    amount = "cast(null as text) as currency, {0} as counted_minor, cast(null as double precision) as days"
    own = "subject_id, group_key, stage_id, measure, cast(null as uuid) as lost_reason_id,\n"
    nothing = "cast(null as bigint)"
    statement.step(
        "facts",
        f"select {own}  amount_minor, currency, counted_minor, days from credited\n"
        f"union all select user_id, {key}, '{_PEOPLE}', {rest}, {nothing}, {amount.format(nothing)} from people\n"
        f"union all select s.subscription_id, {key}, '{_SEATS}', {rest}, s.seats, {amount.format('s.seats')}\n"
        "from seats s join credited c on c.subject_id = s.subscription_id",
    )


def shape(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """One row: seats, people, and how many of the seats they use."""
    rows = facts.shape(question, cells)
    for row in rows:
        row["seats"] = cells.get(_SEATS, row["group"]).amount_minor
        row["people"] = cells.get(_PEOPLE, row["group"]).facts
        row["seat_use"] = ratio(row["people"], row["seats"] or 0)
    return rows
