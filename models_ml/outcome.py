"""What was won, what was lost, and what is still open: an open row is no loss."""

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from models_ml.columns import Column, without_missing
from models_ml.errors import ScoringError

OPEN = -1
_WON = frozenset(
    """
    1 1.0 yes y true t won win closedwon closedaswon success successful succeeded converted convert customer
    accepted approved subscribed subscribe signed bought purchased purchase paid positive pos good churn churned
    ja oui si sí да выиграна выигран
    """.split()
)
_LOST = frozenset(
    """
    0 0.0 -1 no n false f lost lose loss closedlost closedaslost failure failed fail notconverted unconverted
    declined rejected refused unsubscribed negative neg bad stayed stay retained active nein non нет проиграна
    проигран disqualified dead
    """.split()
)
_SHOWN = 5
_TWO = 2


@dataclass(frozen=True)
class Outcome:
    """A label for each row: 1 won, 0 lost, -1 open, and the words that stand for them."""

    column: str
    labels: np.ndarray
    won: str
    lost: str
    open: tuple[str, ...] = ()

    @property
    def closed(self) -> np.ndarray:
        """Positions of rows whose outcome is known."""
        return np.flatnonzero(self.labels != OPEN)


def read_outcome(column: str, series: pl.Series) -> Outcome:
    """The two outcomes that a column of texts names. Empty is open; so is any value beside a plain won and lost."""
    texts = without_missing(series)
    counts = texts.drop_nulls().value_counts(sort=True)
    values = dict(zip(counts[series.name].to_list(), counts["count"].to_list(), strict=True))
    won, lost = _sides(column, values, len(texts))
    labels: np.ndarray = np.full(len(texts), OPEN, dtype=np.int8)
    labels[texts.is_in(list(won)).fill_null(value=False).to_numpy()] = 1
    labels[texts.is_in(list(lost)).fill_null(value=False).to_numpy()] = 0
    still_open = tuple(value for value in values if value not in won and value not in lost)
    return Outcome(column, labels, " or ".join(sorted(won)), " or ".join(sorted(lost)), still_open)


def outcome_of(column: Column) -> Outcome:
    """The outcome in a typed column: a flag or two numbers or two words."""
    values = column.values
    texts = values.cast(pl.Int64, strict=False).cast(pl.String) if column.kind == "number" else values.cast(pl.String)
    return read_outcome(column.name, texts.alias(column.name))


def _sides(column: str, values: dict[str, int], rows: int) -> tuple[set[str], set[str]]:
    won = {value for value in values if _plain(value) in _WON}
    lost = {value for value in values if _plain(value) in _LOST}
    if len(values) == _TWO and not (won and lost):
        return _two_words(values, won, lost)
    if len(values) == 1:  # nothing to learn: the card will say so
        return (set(), set(values)) if lost else (set(values), set())
    beside = set(values) - won - lost
    if won and lost and not any(map(_is_number, beside)):  # 0, 1, 2 … are classes, or a number
        return won, lost
    raise ScoringError(_why_not(column, values, rows))


def _two_words(values: dict[str, int], won: set[str], lost: set[str]) -> tuple[set[str], set[str]]:
    """Which of two is the one to hope for: the known word, the greater number, what is not "not …", else the rarer."""
    if len(won) == 1:
        return won, set(values) - won
    if len(lost) == 1:
        return set(values) - lost, lost
    first, second = sorted(values, key=lambda value: (values[value], value))
    numbers = {value: float(value) for value in values if _is_number(value)}
    if len(numbers) == _TWO:
        first, second = sorted(numbers, key=lambda value: -numbers[value])
    elif _is_negation(first, second):
        first, second = second, first
    return {first}, {second}


def _is_negation(value: str, of: str) -> bool:
    bare = re.sub(r"^(not|no|non|un|dis|in)[\s_-]*", "", value.strip().lower())
    return bare != value.strip().lower() and bare == of.strip().lower()


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None


def _plain(value: str) -> str:
    return value if _is_number(value) else re.sub(r"[\s_\-–.]+", "", value.lower())


def _why_not(column: str, values: dict[str, int], rows: int) -> str:
    if not values:
        return f"Column {column} is empty in all {rows:,} rows; a score needs rows with a known outcome."
    shown = ", ".join(repr(value) for value in list(values)[:_SHOWN]) + (", …" if len(values) > _SHOWN else "")
    return (
        f"Column {column} holds {len(values):,} different values ({shown}); "
        "a score needs two outcomes, such as won and lost. Rows that are still open may stay empty."
    )
