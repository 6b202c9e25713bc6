"""From facts to figures: `facts` is the step that every metric ends in, one row per deal, measure and stage.

A figure is an aggregate of facts and the list behind it is those very facts, so that both must agree.
Columns of `facts`: deal_id, group_key, stage_id, measure, lost_reason_id, amount_minor, currency, counted_minor, days.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from metrics.compile import Compiled, Statement
from metrics.parameters import Unit

_AMOUNTS = (
    "cast(count(*) as bigint) as deals, cast(coalesce(sum(counted_minor), 0) as bigint) as amount_minor,\n"
    "  cast(count(amount_minor) - count(counted_minor) as bigint) as elsewhere"
)


@dataclass
class Cell:
    """One figure: how many deals, their amount in the organization's currency, how long they took."""

    deals: int = 0
    amount_minor: int = 0
    elsewhere: int = 0
    median_days: float | None = None
    p90_days: float | None = None
    by_reason: dict[str, "Cell"] = field(default_factory=dict)

    def count(self, unit: Unit) -> int:
        """The figure in the asked unit: deals, or minor units of money."""
        return self.deals if unit is Unit.DEALS else self.amount_minor


class Cells:
    """All figures of an answer, by group, stage and measure."""

    def __init__(self, records: Iterable[tuple[Any, ...]]) -> None:
        self._cells: dict[tuple[str | None, str | None, str], Cell] = {}
        for group, stage_id, measure, reason_id, deals, amount, elsewhere, median, p90 in records:
            cell = self._cells.setdefault((group, str(stage_id) if stage_id else None, measure), Cell())
            cell.deals, cell.amount_minor = cell.deals + deals, cell.amount_minor + amount
            cell.elsewhere += elsewhere
            if reason_id is None:
                cell.median_days, cell.p90_days = median, p90
            else:
                cell.by_reason[str(reason_id)] = Cell(deals, amount, elsewhere)

    def get(self, measure: str, group: str | None = None, stage_id: object = None) -> Cell:
        """One figure; zero where no deal is behind it."""
        return self._cells.get((group, str(stage_id) if stage_id else None, measure), Cell())

    def groups(self) -> list[str | None]:
        """Every group with a deal, in order; the group of those without one comes last."""
        found = {group for group, _, _ in self._cells}
        named = sorted(group for group in found if group is not None)
        return [*named, *([None] if None in found else [])]

    def stages(self, measure: str) -> set[str | None]:
        """Stages at which any deal has the measure."""
        return {stage_id for _, stage_id, name in self._cells if name == measure}

    def elsewhere(self, measure: str) -> int:
        """How many deals of a measure have their amount in another currency."""
        return sum(cell.elsewhere for (_, _, name), cell in self._cells.items() if name == measure)


def compile_cells(statement: Statement) -> Compiled:
    """Aggregate `facts` to cells. Those of one measure that differ in the reason of loss alone are added up in `Cells`:
    counts and sums can be, and no fact has both a reason and days.
    """
    return statement.compile(
        f"select group_key, stage_id, measure, lost_reason_id, {_AMOUNTS},\n"
        "  percentile_cont(0.5) within group (order by days) as median_days,\n"
        "  percentile_cont(0.9) within group (order by days) as p90_days\n"
        "from facts group by group_key, stage_id, measure, lost_reason_id"
    )


def ratio(part: int, whole: int) -> float | None:
    """Share, or None where there is nothing to share."""
    return part / whole if whole else None
