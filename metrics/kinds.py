"""How a definition becomes a statement and rows: by what it declares, or by the compiler that its `kind` names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from metrics import (
    attainment,
    change,
    exits,
    experiment,
    facts,
    funnel,
    issues,
    outlook,
    scores,
    seats,
    stage_metrics,
    waterfall,
)
from metrics.cells import Cells
from metrics.compile import Compiled, Statement
from metrics.question import Question
from metrics.registry import Definition, Figure


class Survey(NamedTuple):
    """A second query over `facts`, for what cells do not hold, and the rows that it makes with them."""

    query: Callable[[], str]
    shape: Callable[[Question, Cells, Sequence[tuple[Any, ...]]], list[dict[str, Any]]]


class Series(NamedTuple):
    """The same question at other instants, and the rows that all answers make together."""

    questions: Callable[[Question], list[Question]]
    shape: Callable[[Question, Cells, Sequence[tuple[Question, Cells]]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Kind:
    """A compiler: adds step `facts` to a statement, arranges its cells as rows, names the facts behind a figure.

    `figures` compiles the cells where that is cheaper than to add up all facts; both must say the same.
    `totals` sum up what the rows of a group split. A kind that can `compare` arranges the cells of two periods instead.
    """

    build: Callable[[Statement, Question], None]
    shape: Callable[[Question, Cells], list[dict[str, Any]]]
    key: Callable[[Question, Figure], str] = lambda _, figure: figure.fact
    totals: Callable[[Question, Cells], list[dict[str, Any]]] = lambda _, __: []
    figures: Callable[[Statement, Question], Compiled] | None = None
    survey: Survey | None = None
    series: Series | None = None
    compare: Callable[[Question, Cells, Cells], tuple[list[dict[str, Any]], list[dict[str, Any]]]] | None = None
    #: Numbers of its rows that are made of the declared figures.
    adds: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "facts": Kind(facts.build, facts.shape, facts.key),
    "attainment": Kind(attainment.build, attainment.shape, facts.key, adds=attainment.ADDS),
    "calibration": Kind(scores.build_calibration, scores.shape_calibration, totals=scores.total_calibration),
    "outcomes": Kind(scores.build_outcomes, scores.shape_calibration, totals=scores.total_calibration),
    "conversions": Kind(scores.build_conversions, scores.shape_calibration, totals=scores.total_calibration),
    "exits": Kind(exits.build_exits, exits.shape_exits),
    "time_between": Kind(
        exits.build_between, exits.shape_between, survey=Survey(exits.survey_between, exits.shape_between)
    ),
    "conversion_change": Kind(funnel.build, funnel.shape, figures=funnel.compile_figures, compare=change.shape),
    "experiment": Kind(funnel.build, experiment.shape, figures=funnel.compile_figures),
    "forecast": Kind(outlook.build_forecast, outlook.shape_forecast, outlook.key, adds=outlook.FORECAST_ADDS),
    "forecast_accuracy": Kind(
        outlook.build_forecast, issues.shape, outlook.key, series=Series(issues.issued, issues.shape)
    ),
    "scored_accuracy": Kind(
        scores.build_accuracy, issues.shape_scored, outlook.key, series=Series(issues.issued, issues.shape_scored)
    ),
    "score_forecast": Kind(scores.build_forecast, scores.shape_forecast, outlook.key, adds=outlook.FORECAST_ADDS),
    "seats": Kind(seats.build, seats.shape, facts.key),
    "stage_entered": Kind(stage_metrics.build_stage_entered, stage_metrics.shape_stage_entered),
    "stalled": Kind(outlook.build_stalled, facts.shape, facts.key),
    "velocity": Kind(facts.build, outlook.shape_velocity, facts.key, adds=outlook.VELOCITY_ADDS),
    "waterfall": Kind(waterfall.build, waterfall.shape),
    "weighted": Kind(outlook.build_weighted, outlook.shape_weighted, outlook.key),
    "cohort_days": Kind(funnel.build, stage_metrics.shape_days_in_stage, figures=funnel.compile_figures),
    "cohort_funnel": Kind(funnel.build, funnel.shape, figures=funnel.compile_figures, totals=funnel.totals),
    "funnel": Kind(funnel.build_of_entries, funnel.shape_of_entries),
    "step_conversion": Kind(funnel.build, stage_metrics.shape_step_conversion, figures=funnel.compile_figures),
    "days_in_stage": Kind(funnel.build_of_entries, stage_metrics.shape_days_in_stage),
}


def kind_of(definition: Definition) -> Kind:
    """The compiler of a definition."""
    return KINDS[definition.kind]
