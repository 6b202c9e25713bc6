"""The one query path: API, dashboard, export and rule ask here, so the same question has the same answer.

`answer` computes figures, `rows` lists the deals behind one of them; both read the same compiled `facts`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from metrics import funnel, outcomes, stage_metrics
from metrics.cells import Cells, compile_cells
from metrics.compile import Compiled, Statement
from metrics.errors import ParameterError
from metrics.parameters import GroupBy, Parameters, Unit
from metrics.question import Question, ask
from metrics.reader import Reader, Session
from metrics.registry import Definition, Measure
from metrics.viewer import Viewer

#: How a caller names the group of deals that have no owner, team, source.
NO_GROUP = "none"

_GROUP = re.compile(rf"{NO_GROUP}|\d{{4}}-\d{{2}}|[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}")

Build = Callable[[Statement, Question], None]
Shape = Callable[[Question, Cells], list[dict[str, Any]]]

#: How each metric is computed. `tests/metrics` holds this table and the definitions to each other.
COMPUTED: Mapping[str, tuple[Build, Shape]] = {
    "funnel": (funnel.build, funnel.shape),
    "step_conversion": (funnel.build, stage_metrics.shape_step_conversion),
    "days_in_stage": (funnel.build, stage_metrics.shape_days_in_stage),
    "win_rate": (outcomes.build_win_rate, outcomes.shape_win_rate),
    "deals_created": (outcomes.build_deals_created, outcomes.shape_deals_created),
    "bookings": (outcomes.build_bookings, outcomes.shape_bookings),
    "pipeline_value": (outcomes.build_pipeline_value, outcomes.shape_pipeline_value),
    "team_performance": (outcomes.build_team_performance, outcomes.shape_team_performance),
}


@dataclass(frozen=True)
class Answer:
    """A metric's figures with everything that decided them. Labels name pipelines and stages as known at `as_of`."""

    metric: str
    version: int
    definition: str
    parameters: dict[str, Any]
    as_of: datetime
    warehouse_version: str
    through: datetime | None
    rows: list[dict[str, Any]]
    labels: dict[str, str]
    notes: list[str]


@dataclass(frozen=True)
class CellAddress:
    """One figure of an answer: a measure, and the stage and group whose figure it is (None: all of them)."""

    measure: str
    stage_id: UUID | None = None
    group: str | None = None


@dataclass(frozen=True)
class Page:
    """Deals behind one figure. `count` and `amount_minor` speak of all of them, not of this page alone.

    `amount_minor` is in the organization's currency; deals in others add nothing to it and have no `value` in it.
    """

    items: list[dict[str, Any]]
    has_more: bool
    count: int
    amount_minor: int
    as_of: datetime
    first_day: date
    end_day: date
    warehouse_version: str
    labels: dict[str, str]


def answer(reader: Reader, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Answer:
    """Answer a question from the current version of the warehouse.

    Raises:
        WarehouseNotReadyError: nothing is published, or nothing of this organization.
        UnknownPipelineError, ParameterError: the question does not fit the organization.
    """
    with reader.session() as session:
        question = ask(session, definition, parameters, viewer=viewer, now=now)
        cells = Cells(session.fetch(compile_cells(compile_facts(session, question))))
        version = session.version.version
    _, shape = COMPUTED[definition.name]
    return Answer(
        metric=definition.name,
        version=definition.version,
        definition=definition.definition,
        parameters=question.described(),
        as_of=question.as_of,
        warehouse_version=version,
        through=question.through,
        rows=shape(question, cells),
        labels=question.labels,
        notes=[*question.notes, *_currency_notes(question, cells)],
    )


def rows(
    reader: Reader,
    definition: Definition,
    parameters: Parameters,
    cell: CellAddress,
    *,
    viewer: Viewer,
    now: datetime,
    limit: int,
    after: UUID | None = None,
) -> Page:
    """List deals behind a figure, in the order of their ids, from the one that follows `after`.

    Raises:
        WarehouseNotReadyError: nothing is published, or nothing of this organization.
        UnknownPipelineError, ParameterError: the question does not fit the organization, or there is no such figure.
    """
    measure = _measure(definition, parameters, cell)
    with reader.session() as session:
        # the list shows what each deal is worth
        question = replace(ask(session, definition, parameters, viewer=viewer, now=now), is_valued=True)
        if cell.stage_id is not None and all(stage.stage_id != cell.stage_id for stage in question.stages):
            raise ParameterError("stage_id", "there is no such stage in the pipeline, as known at as_of")
        fetched = session.fetch(_compile_rows(session, question, cell, measure, after=after, limit=limit + 1))
        version = session.version.version
    count, amount_minor = fetched[0][:2]
    found = [record[2:] for record in fetched if record[2] is not None]
    return Page(
        items=[_item(record, question, measure) for record in found[:limit]],
        has_more=len(found) > limit,
        count=count,
        amount_minor=amount_minor,
        as_of=question.as_of,
        first_day=question.first_day,
        end_day=question.end_day,
        warehouse_version=version,
        labels=question.labels,
    )


def compile_facts(session: Session, question: Question) -> Statement:
    """The statement up to step `facts`, for the question's metric."""
    statement = Statement(session.dialect, question.viewer.organization_id)
    build, _ = COMPUTED[question.definition.name]
    build(statement, question)
    return statement


def _measure(definition: Definition, parameters: Parameters, cell: CellAddress) -> Measure:
    measure = definition.measure(cell.measure)
    if measure is None:
        names = ", ".join(each.name for each in definition.measures)
        raise ParameterError("measure", f"must be one of {names}")
    if measure.is_per_stage and cell.stage_id is None:
        raise ParameterError("stage_id", f"is required for {measure.name}: a deal can be at several stages")
    if cell.group is not None and parameters.group_by is GroupBy.NONE:
        raise ParameterError("group", "needs a group_by")
    if cell.group is not None and not _GROUP.fullmatch(cell.group):
        raise ParameterError("group", f"must be a group of the answer, or {NO_GROUP!r} for deals without one")
    return measure


def _behind(statement: Statement, cell: CellAddress, measure: Measure) -> str:
    """Condition on `facts f`: it is behind the cell."""
    conditions = [f"f.measure = {statement.bind(measure.fact, 'text')}"]
    if measure.is_timed:
        conditions.append("f.days is not null")
    if cell.stage_id is not None:
        conditions.append(f"f.stage_id = {statement.bind(cell.stage_id, 'uuid')}")
    if cell.group == NO_GROUP:
        conditions.append("f.group_key is null")
    elif cell.group is not None:
        conditions.append(f"f.group_key = {statement.bind(cell.group, 'text')}")
    return " and ".join(conditions)


def _compile_rows(
    session: Session, question: Question, cell: CellAddress, measure: Measure, *, after: UUID | None, limit: int
) -> Compiled:
    """One statement for the page and the total, so that facts are computed once; an empty page is a row of nulls."""
    statement = compile_facts(session, question)
    statement.step("behind", f"select * from facts f where {_behind(statement, cell, measure)}")
    statement.step(
        "total",
        "select cast(count(*) as bigint) as total_count,\n"
        "  cast(coalesce(sum(counted_minor), 0) as bigint) as total_minor from behind",
    )
    following = "" if after is None else f"where b.deal_id > {statement.bind(after, 'uuid')}\n"
    statement.step(
        "page",
        "select b.deal_id, d.owner_id, d.stage_id, d.status, d.created_at, d.closed_at,\n"
        "  b.group_key, b.amount_minor, b.currency, b.counted_minor, b.days, b.lost_reason_id\n"
        f"from behind b join deals d on d.deal_id = b.deal_id\n{following}"
        f"order by b.deal_id limit {statement.bind(limit, 'bigint')}",
    )
    return statement.compile("select total.*, page.* from total left join page on true order by page.deal_id")


def _item(record: tuple[Any, ...], question: Question, measure: Measure) -> dict[str, Any]:
    deal_id, owner_id, stage_id, status, created_at, closed_at, group = record[:7]
    amount, currency, counted, days, reason = record[7:]
    value: float | int | None = 1
    if measure.is_timed:
        value = days
    elif question.parameters.unit is Unit.AMOUNT:
        value = counted
    return {
        "deal_id": str(deal_id),
        "owner_id": str(owner_id) if owner_id else None,
        "stage_id": str(stage_id),
        "status": status,
        "created_at": created_at.astimezone(UTC),
        "closed_at": closed_at.astimezone(UTC) if closed_at else None,
        "group": group,
        "amount_minor": amount,
        "currency": currency,
        "days": days,
        "lost_reason_id": str(reason) if reason else None,
        "value": value,
    }


def _currency_notes(question: Question, cells: Cells) -> list[str]:
    """Says how many deals are left out of sums of money because they are in another currency."""
    facts = _summed_facts(question, cells)
    counts = {fact: cells.elsewhere(fact) for fact in facts}
    return [
        f"Deals whose amount is not in {question.currency} are left out of sums: {count} ({fact})."
        for fact, count in counts.items()
        if count
    ]


def _summed_facts(question: Question, cells: Cells) -> list[str]:
    """Facts whose amounts the answer sums; where there is a cohort, it stands for all that is counted in it."""
    measures = question.definition.measures
    if question.parameters.unit is Unit.AMOUNT:
        is_cohort = bool(cells.elsewhere("cohort"))
        return ["cohort"] if is_cohort else list(dict.fromkeys(measure.fact for measure in measures))
    return [measure.fact for measure in measures if measure.name.endswith("_minor")]
