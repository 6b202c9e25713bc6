"""How a definition becomes a statement and rows: by what it declares, or by the compiler that its `kind` names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metrics import facts, funnel, stage_metrics
from metrics.cells import Cells
from metrics.compile import Statement
from metrics.question import Question
from metrics.registry import Definition, Figure


@dataclass(frozen=True)
class Kind:
    """A compiler: adds step `facts` to a statement, arranges its cells as rows, names the facts behind a figure."""

    build: Callable[[Statement, Question], None]
    shape: Callable[[Question, Cells], list[dict[str, Any]]]
    key: Callable[[Question, Figure], str] = lambda _, figure: figure.fact


KINDS: Mapping[str, Kind] = {
    "facts": Kind(facts.build, facts.shape, facts.key),
    "funnel": Kind(funnel.build, funnel.shape),
    "step_conversion": Kind(funnel.build, stage_metrics.shape_step_conversion),
    "days_in_stage": Kind(funnel.build, stage_metrics.shape_days_in_stage),
}


def kind_of(definition: Definition) -> Kind:
    """The compiler of a definition."""
    return KINDS[definition.kind]
