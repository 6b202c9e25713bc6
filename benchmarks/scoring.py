"""Scores: seconds that training on a wide table takes, and rows scored per second from a frame as it comes.

The limit of scoring is scikit-learn's own predict on a matrix that is ready, in the same run: reading columns, finding
codes of categories and calibrating come on top of it.
"""

import time
from collections.abc import Callable

import numpy as np
import polars as pl

from benchmarks.result import BenchmarkResult
from models_ml.boosting import BoostingModel, fit_boosting
from models_ml.columns import Column, columns_of
from models_ml.encoding import encode, learn_features
from models_ml.model import Model
from models_ml.outcome import read_outcome
from models_ml.training import Settings, train

_CATEGORIES = 10
_TRAINED_ON = 50_000
_TIMES = 3
#: What training may take at most, in seconds.
_MOST_SECONDS = 60.0


def run(*, rows: int = 1_000_000, columns: int = 40, train_rows: int = 100_000) -> list[BenchmarkResult]:
    """Measure both on made-up leads."""
    return [_train(train_rows, columns), _score(rows, columns)]


def _train(rows: int, width: int) -> BenchmarkResult:
    frame, won = _leads(rows, width)
    outcome = read_outcome("won", pl.Series("won", np.where(won, "yes", "no")))
    started = time.perf_counter()
    trained = train(columns_of(frame), outcome, Settings())
    seconds = time.perf_counter() - started
    return BenchmarkResult(
        name=f"scoring: train on {rows:,} rows of {width} columns",
        figure=seconds,
        unit="s",
        limit=_MOST_SECONDS,
        limit_description="what it may take",
        details={
            "verdict": trained.card["verdict"],
            "model": trained.card["model"]["name"],
            "auc": trained.card["auc"],
        },
    )


def _score(rows: int, width: int) -> BenchmarkResult:
    sample, won = _leads(_TRAINED_ON, width)
    known = columns_of(sample)
    features = learn_features(known)
    teaching = encode(features, {column.name: column for column in known})
    core: BoostingModel = fit_boosting(features, teaching, won, leaves=15, trees=120, monotone={})
    model = Model("gradient boosting", core, 1.0, 0.0)
    frame, _ = _leads(rows, width)
    columns: dict[str, Column] = {column.name: column for column in columns_of(frame)}
    matrix = encode(features, columns)
    bare = _best(lambda: core.estimator.predict_proba(matrix))
    ours = _best(lambda: model.probabilities(columns))
    return BenchmarkResult(
        name=f"scoring: {rows:,} rows of {width} columns",
        figure=rows / ours,
        unit="rows/s",
        limit=rows / bare,
        limit_description="scikit-learn's predict on a ready matrix",
    )


def _best(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _leads(rows: int, width: int) -> tuple[pl.DataFrame, np.ndarray]:
    random = np.random.default_rng(rows)
    numbers = random.normal(size=(rows, width - _CATEGORIES))
    effect = 0.8 * numbers[:, 0] + 0.4 * numbers[:, 1] * numbers[:, 2] - 2.0
    series = [pl.Series(f"number_{place}", numbers[:, place]) for place in range(width - _CATEGORIES)]
    for place in range(_CATEGORIES):
        levels = pl.Series([f"level {level}" for level in range(5 + 15 * place)])
        codes = random.integers(0, len(levels), rows)
        effect += 0.2 * (codes % 3 == 0)
        series.append(levels.gather(codes).alias(f"category_{place}"))
    return pl.DataFrame(series), (random.random(rows) < 1 / (1 + np.exp(-effect))).astype(float)
