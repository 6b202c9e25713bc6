"""What every benchmark answers: its figure, the limit measured in the same run, and how near it comes.

A figure without its limit says nothing on a shared machine: the ratio is what can be compared between runs. Printing
lives here; measuring does not.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """One measured figure beside its limit.

    `ratio` is figure / limit: for throughput the nearer to 1 the better, for a duration the nearer to 1 from above.
    """

    name: str
    figure: float
    unit: str
    limit: float
    limit_description: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """figure / limit, or 0.0 where there is no limit to compare with."""
        return self.figure / self.limit if self.limit else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can carry it."""
        return {**asdict(self), "details": dict(self.details), "ratio": self.ratio}

    def __str__(self) -> str:
        head = (
            f"{self.name}: {self.figure:,.1f} {self.unit}; limit {self.limit:,.1f} {self.unit} "
            f"({self.limit_description}); ratio {self.ratio:.2f}"
        )
        return "\n".join([head, *(f"  {key}: {value}" for key, value in self.details.items())])
