"""Forecasts as they were issued: a period's, week by week, each asked as of its own instant, against what came of it.

What was known at an instant never changes, so an issue is frozen without being stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from metrics.cells import Cells, ratio
from metrics.errors import ParameterError
from metrics.outlook import key, shape_forecast
from metrics.period import day_start
from metrics.question import Question, instant_text

_WEEK = timedelta(days=7)
#: Each is a question of its own: those of two years.
_MOST = 105
_NOTHING: Mapping[str, Any] = {"forecast_minor": 0, "best_case_minor": 0, "booked_amount_minor": 0, "booked_deals": 0}

#: Each issue with what was known then.
Issues = Sequence[tuple[Question, Cells]]


def issued(question: Question) -> list[Question]:
    """The same question as it was asked at the beginning of each week of the period.

    Raises:
        ParameterError: there are more weeks than one answer may ask about.
    """
    found, day = [], question.first_day
    while day < question.end_day and (at := day_start(day, question.zone)) <= question.as_of:
        found.append(replace(question, as_of=at, at=at))
        day += _WEEK
        if len(found) > _MOST:
            raise ParameterError("from", f"the period has more than {_MOST} weekly forecasts: ask for fewer years")
    return found


def shape(question: Question, cells: Cells, answers: Issues = ()) -> list[dict[str, Any]]:
    """Rows per issue and group; who was credited then or now, and not at the other time, has nothing there."""
    return [row for _, row in _rows(question, cells, answers)]


def shape_scored(question: Question, cells: Cells, answers: Issues = ()) -> list[dict[str, Any]]:
    """The same, and what scores said: nothing where no deal that was due then had one."""
    rows = []
    for found, row in _rows(question, cells, answers):
        due, scored = (found.get(measure, row["group"]) for measure in (_key(question, "due_deals"), "scored_deals"))
        forecast = error = None
        if scored.facts:
            forecast = row["committed_minor"] + found.get("score_weighted", row["group"]).amount_minor
            error = forecast - row["booked_amount_minor"]
        row |= {
            "issued_deals": due.facts,
            "issued_scored_deals": scored.facts,
            "issued_unscored_minor": due.amount_minor - scored.amount_minor,
            "score_forecast_minor": forecast,
            "score_error_minor": error,
            "score_error_share": None if error is None else ratio(error, row["booked_amount_minor"]),
        }
        rows.append(row)
    return rows


def _rows(question: Question, cells: Cells, answers: Issues) -> Iterator[tuple[Cells, dict[str, Any]]]:
    actual = {row["group"]: row for row in shape_forecast(question, cells)}
    for asked, found in answers:
        issue = {row["group"]: row for row in shape_forecast(asked, found)}
        for group in sorted(actual.keys() | issue.keys(), key=lambda each: (each is None, each or "")):
            then, came = issue.get(group, _NOTHING), actual.get(group, _NOTHING)
            error = then["forecast_minor"] - came["booked_amount_minor"]
            yield (
                found,
                {
                    "group": group,
                    "issued_at": instant_text(asked.as_of),
                    "committed_minor": then["booked_amount_minor"],
                    "forecast_minor": then["forecast_minor"],
                    "best_case_minor": then["best_case_minor"],
                    "booked_deals": came["booked_deals"],
                    "booked_amount_minor": came["booked_amount_minor"],
                    "currency": question.currency,
                    "error_minor": error,
                    "error_share": ratio(error, came["booked_amount_minor"]),
                    "is_settled": question.as_of >= question.ends_at,
                },
            )


def _key(question: Question, name: str) -> str:
    return key(question, next(figure for figure in question.definition.figures if figure.name == name))
