"""Why an answer is another than it was: the facts that changed a figure between two instants of knowledge.

Both answers are computed anew, each as known then; whatever a fact added before and adds now is its part of the
difference, so that the parts add up to it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from metrics.errors import ParameterError
from metrics.parameters import Parameters, Unit
from metrics.query import compile_facts
from metrics.question import Question, ask
from metrics.registry import Definition, Figure
from metrics.rows import CellAddress, add_behind, measure_of
from metrics.session import Reader, Session
from metrics.viewer import Viewer


@dataclass(frozen=True)
class Restatement:
    """A figure as it was known at two instants, and the facts that made the difference, the largest first.

    `others` counts the facts that are not listed, and `others_difference` is what they changed together.
    """

    from_as_of: datetime
    to_as_of: datetime
    before: int
    after: int
    items: list[dict[str, Any]]
    others: int
    others_difference: int

    @property
    def difference(self) -> int:
        """By how much the figure is another."""
        return self.after - self.before


def restatements(
    reader: Reader,
    definition: Definition,
    parameters: Parameters,
    cell: CellAddress,
    *,
    earlier: datetime | date,
    viewer: Viewer,
    now: datetime,
    most: int,
) -> Restatement:
    """Compare a figure as known at `earlier` with itself as known at the question's `as_of`.

    Raises:
        ParameterError: durations have no parts, and what is compared must have been known in order.
        WarehouseNotReadyError, UnknownPipelineError: as for an answer.
    """
    measure = measure_of(definition, parameters, cell)
    if measure.is_timed:
        raise ParameterError("measure", "must be a count or an amount: facts have no part in a median")
    with reader.session() as session:
        later = ask(session, definition, parameters, viewer=viewer, now=now)
        fixed = {"as_of": earlier, "start": later.first_day, "end": later.end_day}
        before = ask(session, definition, parameters.model_copy(update=fixed), viewer=viewer, now=now)
        if before.as_of > later.as_of:
            raise ParameterError("from_as_of", "must lie before to_as_of")
        old, new = (_parts(session, question, cell, measure) for question in (before, later))
    id_name = definition.entity.id
    changed: list[dict[str, Any]] = [
        {id_name: str(key), "change": _change(key, old, new), "before": old.get(key), "after": new.get(key)}
        | {"difference": new.get(key, 0) - old.get(key, 0)}
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    changed.sort(key=lambda item: -abs(item["difference"]))
    rest = changed[most:]
    return Restatement(
        from_as_of=before.as_of,
        to_as_of=later.as_of,
        before=sum(old.values()),
        after=sum(new.values()),
        items=changed[:most],
        others=len(rest),
        others_difference=sum(item["difference"] for item in rest),
    )


def _change(key: UUID, old: dict[UUID, int], new: dict[UUID, int]) -> str:
    return "appeared" if key not in old else "gone" if key not in new else "changed"


def _parts(session: Session, question: Question, cell: CellAddress, measure: Figure) -> dict[UUID, int]:
    """What each fact adds to the figure."""
    statement = compile_facts(session, question)
    add_behind(statement, question, cell, measure)
    is_amount = measure.aggregate == "amount" or question.parameters.unit is Unit.AMOUNT
    value = f"cast(coalesce(sum(counted_minor), 0) as {statement.dialect.wide_integer})" if is_amount else "count(*)"
    found = session.fetch(statement.compile(f"select subject_id, {value} as part from behind group by subject_id"))
    return {key: int(part) for key, part in found}
