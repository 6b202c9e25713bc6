"""One number of an answer: what somebody watches, by the name of its figure, its group and its stage."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from metrics.errors import ParameterError
from metrics.kinds import KINDS
from metrics.query import Answer
from metrics.registry import Definition

#: Kinds whose rows stand beside each other by something else than group and stage.
_OTHER_ROWS = frozenset(
    {"calibration", "conversion_change", "exits", "experiment", "forecast_accuracy", "time_between"}
)


class Number(NamedTuple):
    """A figure's value, and the currency of its minor units where it is an amount."""

    value: float | int | None
    currency: str | None


def watchable(definition: Definition) -> tuple[str, ...]:
    """The figures of a metric that can be watched: those that it declares, and those that its kind makes of them."""
    if definition.kind in _OTHER_ROWS:
        return ()
    return (*(figure.name for figure in definition.figures), *KINDS[definition.kind].adds)


def number_in(answer: Answer, measure: str, *, group: str | None, stage_id: str | None) -> Number:
    """The figure of the row of a group and a stage; none where the answer has no such row, or the row no number.

    Raises:
        ParameterError: several rows have that figure.
    """
    rows = [row for row in answer.rows if _group(row) == group and stage_id in (None, row.get("stage_id"))]
    if len(rows) > 1:
        raise ParameterError("stage_id", "is required: the metric has this figure of each stage")
    row = rows[0] if rows else {}
    value = row.get(measure)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Number(value if is_number else None, row.get("currency") if "_minor" in measure else None)


def _group(row: Mapping[str, Any]) -> str | None:
    """What a row is about; an owner comes with the team that they are in."""
    return row["group"] if "group" in row else row.get("owner_id") or row.get("team_id")
