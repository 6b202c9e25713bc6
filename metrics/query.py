"""The one query path: API, dashboard, export and rule ask here, so the same question has the same answer.

`answer` computes figures, `rows` (`metrics.rows`) lists the facts behind one of them; both read the same `facts`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from metrics.cells import Cells, compile_cells
from metrics.compile import Statement
from metrics.kinds import kind_of
from metrics.parameters import Parameters, Unit
from metrics.question import Question, ask, ask_before, version_of
from metrics.registry import Definition
from metrics.session import Reader, Session
from metrics.viewer import Viewer


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
    totals: list[dict[str, Any]] = field(default_factory=list)
    other_currencies: list[dict[str, Any]] = field(default_factory=list)


def answer(reader: Reader, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Answer:
    """Answer a question from the current version of the warehouse.

    Raises:
        WarehouseNotReadyError: nothing is published, or nothing of this organization.
        UnknownPipelineError, ParameterError: the question does not fit the organization.
    """
    with reader.session() as session:
        question = ask(session, definition, parameters, viewer=viewer, now=now)
        cells = _cells(session, question)
        rows, totals = _shape(session, question, cells, lambda: ask_before(session, question, viewer=viewer, now=now))
        others = _other_currencies(session, question, cells)
        version = version_of(session, definition)
    return Answer(
        metric=definition.name,
        version=definition.version,
        definition=definition.definition,
        parameters=question.described(),
        as_of=question.as_of,
        warehouse_version=version,
        through=question.through,
        rows=rows,
        totals=totals,
        labels=question.labels,
        notes=[*question.notes, *_currency_notes(question, cells)],
        other_currencies=others,
    )


def _shape(
    session: Session, question: Question, cells: Cells, before: Callable[[], Question]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and totals; of a metric that compares, with the cells of what it is compared with."""
    kind = kind_of(question.definition)
    if kind.survey is not None:
        found = session.fetch(compile_facts(session, question).compile(kind.survey.query()))
        return kind.survey.shape(question, cells, found), kind.totals(question, cells)
    if kind.series is not None:
        answers = [(asked, _cells(session, asked)) for asked in kind.series.questions(question)]
        return kind.series.shape(question, cells, answers), kind.totals(question, cells)
    if kind.compare is None:
        return kind.shape(question, cells), kind.totals(question, cells)
    return kind.compare(question, cells, _cells(session, before()))


def _cells(session: Session, question: Question) -> Cells:
    percentiles, figures = question.definition.percentiles, kind_of(question.definition).figures
    if figures is None:
        compiled = compile_cells(compile_facts(session, question), percentiles)
    else:
        compiled = figures(Statement(session.dialect, question.viewer.organization_id), question)
    return Cells(session.fetch(compiled), percentiles)


def compile_facts(session: Session, question: Question) -> Statement:
    """The statement up to step `facts`, for the question's metric."""
    statement = Statement(session.dialect, question.viewer.organization_id)
    kind_of(question.definition).build(statement, question)
    return statement


def _currency_notes(question: Question, cells: Cells) -> list[str]:
    """Says how many facts are left out of sums of money, because their amount is in another currency."""
    plural = question.entity.plural.capitalize()
    why = "has no exchange rate" if question.is_converted else f"is not in {question.currency}"
    return [
        f"{plural} whose amount {why} are left out of sums: {count} ({fact})."
        for fact, (count, _) in _elsewhere(question, cells).items()
        if count
    ]


def _other_currencies(session: Session, question: Question, cells: Cells) -> list[dict[str, Any]]:
    """What is left out of sums of money, by figure's fact and currency, in minor units of that currency."""
    names = {key: fact for fact, (count, key) in _elsewhere(question, cells).items() if count}
    if not names:
        return []
    statement = compile_facts(session, question)
    wide = statement.dialect.wide_integer
    rows = session.fetch(
        statement.compile(
            f"select measure, currency, cast(count(*) as bigint), cast(sum(amount_minor) as {wide}) from facts\n"
            "where amount_minor is not null and counted_minor is null group by measure, currency order by 1, 2"
        )
    )
    return [
        {"figure": names[measure], "currency": currency, "facts": facts, "amount_minor": int(amount)}
        for measure, currency, facts, amount in rows
        if measure in names
    ]


def _elsewhere(question: Question, cells: Cells) -> dict[str, tuple[int, str]]:
    """How many of the facts whose amounts the answer sums cannot be summed, and what the statement calls them.

    Where there is a cohort, it stands for all that is counted in it.
    """
    if question.parameters.unit is Unit.AMOUNT and (count := cells.elsewhere("cohort")):
        return {"cohort": (count, "cohort")}
    key = kind_of(question.definition).key
    return {
        measure.fact: (cells.elsewhere(key(question, measure)), key(question, measure))
        for measure in question.definition.measures
        if measure.aggregate == "amount" or question.parameters.unit is Unit.AMOUNT
    }
