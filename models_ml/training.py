"""From labelled columns to a model and its card: judge columns, split by time, choose, calibrate, look once.

The same rows give the same model and the same card, byte for byte: no clock, no chance but fixed seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from models_ml.candidates import Trial, bolder, candidates, choose, learn, prior_features, try_out
from models_ml.card import Card, Judged, write_card
from models_ml.columns import Column
from models_ml.duplicates import repeated
from models_ml.encoding import Feature, encode, learn_features, measured
from models_ml.errors import ScoringError, UnknownColumnError
from models_ml.measures import shift_to
from models_ml.model import Model
from models_ml.outcome import Outcome
from models_ml.splits import Split, split_at_random, split_by_time
from models_ml.suspicion import Suspicion, inspect, known_only_when_closed

#: Fewer rows of one outcome in any part of the split, and nothing can be fitted or judged at all.
_LEAST = 5
_MOST_ROWS = 400_000
_SLOPES = (0.2, 2.0)


@dataclass(frozen=True)
class Settings:
    """What the caller knows about the columns."""

    time: str | None = None
    allowed: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    monotone: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A model (none where nothing could be fitted), its card, and what of the columns it was not shown."""

    model: Model | None
    card: Card
    time: str | None


def train(columns: list[Column], outcome: Outcome, settings: Settings) -> Trained:
    """Learn from the rows with a known outcome, and judge what was learned. `columns` are without the target."""
    # one thread: sums keep their order, and on a busy machine threads that wait for each other take far longer
    with threadpool_limits(limits=1):
        return _train(columns, outcome, settings)


def _train(columns: list[Column], outcome: Outcome, settings: Settings) -> Trained:
    time = _time(columns, settings.time)
    rows = _usable(outcome, time)
    known = [column.take(rows) for column in columns]
    known_time = time.take(rows) if time else None
    won = outcome.labels[rows.to_numpy()].astype(float)
    # rows that are there whole are no second ones: beside them an id would not tell rows apart
    whole = repeated(known, won, identifiers=set(), unlike=set())
    known, won, known_time = _leave_out(whole, known, won, known_time)
    suspicion = inspect(
        [column for column in known if column.name != settings.time], won, time=known_time, allowed=settings.allowed
    )
    suspicion.unused |= {name: f"{name} was to be left out" for name in sorted(settings.without)}
    suspicion.leaks |= known_only_when_closed(
        columns, outcome, {*settings.allowed, *([settings.time] if settings.time else [])}
    )
    instants = {column.name for column in columns if column.kind == "instant" or column.name == settings.time}
    # a copy under another status is one, too: what tells of the outcome tells of nothing else
    unlike = instants | set(suspicion.leaks)
    copies = repeated(known, won, identifiers=set(suspicion.identifiers), unlike=unlike)
    known, won, known_time = _leave_out(copies, known, won, known_time)
    judged = _judge(known, won, known_time, suspicion, settings)
    duplicates = len(whole) + len(copies)
    card = write_card(judged, outcome=outcome, suspicion=suspicion, duplicates=duplicates, columns=columns, time=time)
    if len(outcome.closed) > _MOST_ROWS:
        which = "newest" if time else "last"
        card["warnings"].append(f"the {which} {_MOST_ROWS:,} rows with an outcome teach and judge, no others")
    return Trained(judged.model, card, settings.time)


def _leave_out(
    rows: np.ndarray, columns: list[Column], won: np.ndarray, time: Column | None
) -> tuple[list[Column], np.ndarray, Column | None]:
    if len(rows) == 0:
        return columns, won, time
    kept = pl.Series(np.setdiff1d(np.arange(len(won)), rows))
    return [column.take(kept) for column in columns], won[kept.to_numpy()], time.take(kept) if time else None


def features_of(columns: list[Column], time: Column | None) -> dict[str, Column]:
    """Columns as models read them: instants as days before the time of scoring."""
    return {column.name: measured(column, time) for column in columns}


def _time(columns: list[Column], name: str | None) -> Column | None:
    if name is None:
        return None
    column = next((column for column in columns if column.name == name), None)
    if column is None:
        raise UnknownColumnError(f"There is no column {name}.")
    if column.values.null_count() == len(column.values):
        raise ScoringError(f"Column {name} is empty, so it cannot say which rows came first.")
    if column.kind not in ("instant", "number"):
        example = column.values.drop_nulls()[0]
        raise ScoringError(
            f"Column {name} is no time: {example!r} cannot be read as a date. "
            "Write dates as 2026-05-31, or leave out --time for a split at random."
        )
    return column


def _usable(outcome: Outcome, time: Column | None) -> pl.Series:
    """Rows with an outcome (and a time, where the split needs one), the newest of too many, in order of time."""
    rows = outcome.closed
    if time is None:
        return pl.Series(rows[-_MOST_ROWS:], dtype=pl.Int64)
    values = time.values.gather(rows)
    dated = rows[values.is_not_null().to_numpy()]
    order = time.values.gather(dated).arg_sort().to_numpy()
    return pl.Series(dated[order][-_MOST_ROWS:], dtype=pl.Int64)


def _judge(
    columns: list[Column], won: np.ndarray, time: Column | None, suspicion: Suspicion, settings: Settings
) -> Judged:
    split = _split(won, time)
    if split is None or min(_counts(won, split)) < _LEAST:
        return Judged(None, won, None, None, (), {}, time)
    used = features_of(
        [column for column in columns if column.name not in {*suspicion.excluded(), settings.time}], time
    )
    features = learn_features([column.take(pl.Series(split.train)) for column in used.values()])
    matrix = encode(features, used) if features else np.zeros((len(won), 0))
    trials = [try_out(candidate, features, matrix, won, split) for candidate in candidates(features, settings.monotone)]
    everything = {column.name: column for column in columns}
    if len(trials) == 1:
        return Judged(None, won, split, None, tuple(trials), everything, time)
    trials += [try_out(more, features, matrix, won, split) for more in bolder(trials, settings.monotone)]
    chosen = choose(trials)
    # what loses against the base rate is still judged on the last rows, so that the card shows how it would have done
    best = chosen if chosen.candidate.fit else min(trials[1:], key=lambda trial: trial.loss)
    seen = matrix[:, prior_features(features)] if best.candidate.only_prior else matrix
    model = _finish(best, features, matrix, won, split, seen)
    return Judged(model, won, split, seen, tuple(trials), everything, time, chosen=chosen)


def _split(won: np.ndarray, time: Column | None) -> Split | None:
    if len(won) == 0:
        return None
    if time is None:
        return split_at_random(won)
    return split_by_time(time.values.to_physical().to_numpy())


def _counts(won: np.ndarray, split: Split) -> list[int]:
    parts = [split.test, *(part for fold in split.folds for part in fold)]
    return [int((won[part] == side).sum()) for part in parts for side in (0, 1)]


def _finish(
    best: Trial, features: tuple[Feature, ...], matrix: np.ndarray, won: np.ndarray, split: Split, seen: np.ndarray
) -> Model:
    """Learn from all training rows; the slope is of rows held out.

    The level lies halfway between that of the newest rows and that of all, since a rate that has moved may move back.
    """
    core = learn(best.candidate, features, matrix[split.train], won[split.train])
    slope = float(np.clip(best.slope, *_SLOPES))
    levels = [shift_to(core.raw(seen[rows]), slope, float(won[rows].mean())) for rows in (split.newest, split.train)]
    return Model(best.candidate.kind, core, slope, float(np.mean(levels)))
