"""What a watch asks of the warehouse: read once, when it is made, and again with the day's period at each look."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from api.kernel.errors import Unprocessable
from api.metrics.asking import read_question
from api.metrics.errors import InvalidParameter
from api.watches.periods import Period, days_of
from metrics.errors import ParameterError
from metrics.parameters import Parameters
from metrics.period import Calendar
from metrics.registry import Definition
from metrics.watched import watchable

_ROW = ("group", "stage_id")
#: What would make the figure stand still.
_FIXED = ("as_of", "at")


class CannotWatch(Unprocessable):
    """The metric has no such figure, or none that could be watched."""

    code, pointer = "cannot_watch", "/measure"


class Asked(NamedTuple):
    """A question of today."""

    definition: Definition
    parameters: Parameters
    group: str | None
    stage_id: str | None


def asked(metric: str, question: Mapping[str, str], days: tuple[date, date] | None) -> Asked:
    """A watch's question for the days that it speaks of today.

    Raises:
        UnknownMetric, InvalidParameter: as the metric says.
    """
    given = {name: value for name, value in question.items() if name not in _ROW}
    if fixed := [name for name in _FIXED if name in given]:
        raise InvalidParameter(ParameterError(fixed[0], "would make the figure stand still"))
    if days is not None:
        if {"from", "to"} & given.keys():
            raise InvalidParameter(ParameterError("period", "moves by itself; leave out from and to"))
        given |= {"from": days[0].isoformat(), "to": days[1].isoformat()}
    definition, parameters = read_question(metric, given)
    return Asked(definition, parameters, question.get("group") or None, question.get("stage_id") or None)


def check(metric: str, measure: str, question: Mapping[str, str], period: Period | None) -> None:
    """Whether this can be watched.

    Raises:
        UnknownMetric, InvalidParameter, CannotWatch: it cannot.
    """
    days = days_of(period, date(2000, 1, 1), Calendar()) if period is not None else None
    definition = asked(metric, question, days).definition
    known = watchable(definition)
    if not known:
        raise CannotWatch(f"{metric} has no single figure to watch.", pointer="/metric")
    if measure not in known:
        raise CannotWatch(f"{metric} has no figure {measure}; it has {', '.join(known)}.")
