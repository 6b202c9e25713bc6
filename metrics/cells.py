"""From facts to figures: `facts` is the step that every metric ends in, one row per subject, measure and stage.

A figure is an aggregate of facts and the list behind it is those very facts, so that both must agree.
Columns of `facts`: subject_id, group_key, stage_id, measure, lost_reason_id, amount_minor, currency, counted_minor,
days.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metrics.compile import Compiled, Statement
from metrics.dialect import DAY
from metrics.parameters import Unit

_AMOUNTS = (
    "cast(count(*) as bigint) as facts, cast(coalesce(sum(counted_minor), 0) as {wide}) as amount_minor,\n"
    "  cast(count(amount_minor) - count(counted_minor) as bigint) as elsewhere"
)


@dataclass
class Cell:
    """One figure: how many facts, their amount in the organization's currency, how long they took (by percentile)."""

    facts: int = 0
    amount_minor: int = 0
    elsewhere: int = 0
    days: Mapping[float, float | None] = field(default_factory=dict)
    by_reason: dict[str, "Cell"] = field(default_factory=dict)

    def count(self, unit: Unit) -> int:
        """The figure in the asked unit: facts, or minor units of money."""
        return self.amount_minor if unit is Unit.AMOUNT else self.facts


class Cells:
    """All figures of an answer, by group, stage and measure."""

    def __init__(self, records: Iterable[tuple[Any, ...]], percentiles: Sequence[float]) -> None:
        self._cells: dict[tuple[str | None, str | None, str], Cell] = {}
        for group, stage_id, measure, reason_id, facts, summed, elsewhere, *took in records:
            microseconds = (took and took[0]) or [None] * len(percentiles)
            amount = int(summed)
            cell = self._cells.setdefault((group, str(stage_id) if stage_id else None, measure), Cell())
            cell.facts, cell.amount_minor = cell.facts + facts, cell.amount_minor + amount
            cell.elsewhere += elsewhere
            if reason_id is None:
                cell.days = dict(zip(percentiles, map(_days, microseconds), strict=True))
            else:
                cell.by_reason[str(reason_id)] = Cell(facts, amount, elsewhere)

    def get(self, measure: str, group: str | None = None, stage_id: object = None) -> Cell:
        """One figure; zero where no fact is behind it."""
        return self._cells.get((group, str(stage_id) if stage_id else None, measure), Cell())

    def groups(self) -> list[str | None]:
        """Every group with a fact, in order; the group of those without one comes last."""
        found = {group for group, _, _ in self._cells}
        named = sorted(group for group in found if group is not None)
        return [*named, *([None] if None in found else [])]

    def stages(self, measure: str) -> set[str | None]:
        """Stages at which any fact has the measure."""
        return {stage_id for _, stage_id, name in self._cells if name == measure}

    def elsewhere(self, measure: str) -> int:
        """How many facts of a measure have their amount in another currency."""
        return sum(cell.elsewhere for (_, _, name), cell in self._cells.items() if name == measure)


def compile_cells(statement: Statement, percentiles: Sequence[float]) -> Compiled:
    """Aggregate `facts` to cells. Those of one measure that differ in the reason of loss alone are added up in `Cells`:
    counts and sums can be, and no fact has both a reason and days.
    """
    took = f",\n  {percentiles_of(f'round(days * {DAY})', percentiles)}" if percentiles else ""
    return statement.compile(
        f"select group_key, stage_id, measure, lost_reason_id,\n"
        f"  {_AMOUNTS.format(wide=statement.dialect.wide_integer)}{took}\n"
        "from facts group by group_key, stage_id, measure, lost_reason_id"
    )


def percentiles_of(microseconds: str, percentiles: Sequence[float]) -> str:
    """The aggregate that is a list of percentiles: all of them are found by one look at the values."""
    return f"percentile_cont(array[{', '.join(map(str, percentiles))}]) within group (order by {microseconds})"


def _days(microseconds: float | None) -> float | None:
    """Days of an interpolated duration. Engines interpolate in different orders, so that results differ in their last
    digit: between whole microseconds halves are exact in both, and what is less than one is nobody's.
    """
    return None if microseconds is None else round(microseconds) / DAY


def ratio(part: float, whole: float) -> float | None:
    """Share, or None where there is nothing to share."""
    return part / whole if whole else None
