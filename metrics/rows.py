"""The facts behind one figure of an answer: read from the same step as the figure, so that they add up to it."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from metrics.compile import Compiled, Statement
from metrics.errors import ParameterError
from metrics.kinds import kind_of
from metrics.parameters import Parameters, Unit
from metrics.query import compile_facts
from metrics.question import Question, ask, version_of
from metrics.registry import CALENDAR, Definition, Figure
from metrics.session import Reader, Session
from metrics.viewer import Viewer

#: How a caller names the group of facts that have no owner, team, source.
NO_GROUP = "none"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BAND = re.compile(r"\d+-\d*")
_PIECE = re.compile(r"(FY)?\d{4}(-(Q[1-4]|\d{2}(-\d{2})?))?")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,62}")
_VALUE = re.compile(r".{1,500}", re.DOTALL)

#: Columns of the page after the entity's own.
_COUNTED = "group_key, amount_minor, currency, counted_minor, days, lost_reason_id"


@dataclass(frozen=True)
class CellAddress:
    """One figure of an answer: a measure, and the stage and group whose figure it is (None: all of them)."""

    measure: str
    stage_id: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Page:
    """Facts behind one figure. `count` and `amount_minor` speak of all of them, not of this page alone.

    `amount_minor` is in the asked currency, and None for an entity that is worth nothing; facts that cannot be
    converted add nothing to it and have no `value` in it. `last_id` is the id of the last item.
    """

    items: list[dict[str, Any]]
    has_more: bool
    last_id: UUID | None
    count: int
    amount_minor: int | None
    currency: str
    as_of: datetime
    through: datetime | None
    first_day: date
    end_day: date
    warehouse_version: str
    labels: dict[str, str]


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
    """List facts behind a figure, in the order of their ids, from the one that follows `after`.

    Raises:
        WarehouseNotReadyError: nothing is published, or nothing of this organization.
        UnknownPipelineError, ParameterError: the question does not fit the organization, or there is no such figure.
    """
    measure = measure_of(definition, parameters, cell)
    with reader.session() as session:
        question = ask(session, definition, parameters, viewer=viewer, now=now)
        # the list shows what each fact is worth
        question = replace(question, is_valued=definition.entity.amount is not None)
        if cell.stage_id is not None and all(str(stage.stage_id) != cell.stage_id for stage in question.stages):
            raise ParameterError("stage_id", "there is no such stage in the pipeline, as known at as_of")
        fetched = session.fetch(_compile_rows(session, question, cell, measure, after=after, limit=limit + 1))
        version = version_of(session, definition)
    count, amount_minor = fetched[0][:2]
    found, has_more = _paged([record[2:] for record in fetched if record[2] is not None], limit)
    return Page(
        items=[_item(record, question, measure) for record in found],
        has_more=has_more,
        last_id=found[-1][0] if found else None,
        count=count,
        amount_minor=int(amount_minor) if question.is_valued else None,
        currency=question.currency,
        as_of=question.as_of,
        through=question.through,
        first_day=question.first_day,
        end_day=question.end_day,
        warehouse_version=version,
        labels=question.labels,
    )


def _paged(records: list[tuple[Any, ...]], limit: int) -> tuple[list[tuple[Any, ...]], bool]:
    """The records of the first `limit` facts, and whether there are more. What is counted of a fact several times (it
    left a stage to two others) stays on one page, since the next one goes on after an id.
    """
    ids = list(dict.fromkeys(record[0] for record in records))
    if len(ids) <= limit:
        return records, False
    return [record for record in records if record[0] != ids[-1]], True


def measure_of(definition: Definition, parameters: Parameters, cell: CellAddress) -> Figure:
    """The figure that a cell names.

    Raises:
        ParameterError: there is no such figure, or the cell does not say which of several.
    """
    measure = definition.measure(cell.measure)
    if measure is None:
        names = ", ".join(each.name for each in definition.measures)
        raise ParameterError("measure", f"must be one of {names}")
    if measure.is_per_stage and cell.stage_id is None:
        raise ParameterError("stage_id", f"is required for {measure.name}: it can be at several stages")
    if cell.group is not None and parameters.group_by == "none":
        raise ParameterError("group", "needs a group_by")
    if cell.group not in {None, NO_GROUP} and not _form(definition, parameters).fullmatch(cell.group or ""):
        raise ParameterError("group", f"must be a group of the answer, or {NO_GROUP!r} for what has none")
    return measure


def _form(definition: Definition, parameters: Parameters) -> re.Pattern[str]:
    """How the keys of the asked groups are written."""
    if parameters.group_by in CALENDAR:
        return _PIECE
    if parameters.group_by == "days":
        return _BAND
    if parameters.custom_group is not None:
        return _VALUE
    dimension = definition.entity.dimensions.get(parameters.group_by)
    return _WORD if dimension is not None and dimension.type == "text" else _UUID


def add_behind(statement: Statement, question: Question, cell: CellAddress, measure: Figure) -> None:
    """Add `behind`: the facts behind a cell, after `facts`."""
    conditions = [f"f.measure = {statement.bind(kind_of(question.definition).key(question, measure), 'text')}"]
    if measure.is_timed:
        conditions.append("f.days is not null")
    if cell.stage_id is not None:
        conditions.append(f"f.stage_id = {statement.bind(cell.stage_id, question.entity.key_type)}")
    if cell.group == NO_GROUP:
        conditions.append("f.group_key is null")
    elif cell.group is not None:
        conditions.append(f"f.group_key = {statement.bind(cell.group, 'text')}")
    statement.step("behind", f"select * from facts f where {' and '.join(conditions)}")


def _compile_rows(
    session: Session, question: Question, cell: CellAddress, measure: Figure, *, after: UUID | None, limit: int
) -> Compiled:
    """One statement for the page and the total, so that facts are computed once; an empty page is a row of nulls."""
    statement = compile_facts(session, question)
    add_behind(statement, question, cell, measure)
    statement.step(
        "total",
        "select cast(count(*) as bigint) as total_count,\n"
        f"  cast(coalesce(sum(counted_minor), 0) as {statement.dialect.wide_integer}) as total_minor from behind",
    )
    following = "" if after is None else f"where b.subject_id > {statement.bind(after, 'uuid')}\n"
    shown = ", ".join(f"d.{column}" for column in question.entity.rows)
    counted = ", ".join(f"b.{column}" for column in _COUNTED.split(", "))
    statement.step(
        "paged",
        f"select distinct b.subject_id from behind b\n{following}"
        f"order by b.subject_id limit {statement.bind(limit, 'bigint')}",
    )
    statement.step(
        "page",
        f"select b.subject_id, {shown}, {counted} from behind b\n"
        "join paged p on p.subject_id = b.subject_id join subjects d on d.subject_id = b.subject_id",
    )
    return statement.compile("select total.*, page.* from total left join page on true order by page.subject_id")


def _item(record: tuple[Any, ...], question: Question, measure: Figure) -> dict[str, Any]:
    """A fact: what its entity shows, and what the figure counts of it."""
    entity = question.entity
    shown = dict(zip([entity.id, *entity.rows], map(_plain, record), strict=False))
    counted = dict(zip(_COUNTED.split(", "), map(_plain, record[len(shown) :]), strict=True))
    if counted["counted_minor"] is not None:
        counted["counted_minor"] = int(counted["counted_minor"])
    value: float | int | None = 1
    if measure.is_timed:
        value = counted["days"]
    elif question.parameters.unit is Unit.AMOUNT:
        value = counted["counted_minor"]
    item = shown | {"group": counted["group_key"]}
    if entity.amount is not None:
        item |= {name: counted[name] for name in ("amount_minor", "currency", "counted_minor")}
    item["days"] = counted["days"]
    if entity.steps is not None:
        # of a loss its own; of whatever else is counted, the reason for which the fact is lost now
        present = item.pop(entity.steps.reason or "", None)
        item["lost_reason_id"] = counted["lost_reason_id"] or present
    return item | {"value": value}


def _plain(value: Any) -> Any:  # noqa: ANN401  # a column's value becomes the answer's
    if isinstance(value, UUID):
        return str(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value
