"""How a model does in parts: over time, by group, against the past it learned from, and by which columns."""

from typing import Any

import numpy as np
import polars as pl

from models_ml import measures
from models_ml.binning import codes_of
from models_ml.columns import Column
from models_ml.encoding import Feature
from models_ml.model import Model
from models_ml.splits import Split

_PARTS = 4
_GROUPS = 8
_SLICED = 6
_LEVELS = 40
_LEAST = 30
_TOP = 12


def over_time(won: np.ndarray, forecast: np.ndarray, split: Split) -> list[dict[str, float]]:
    """Forecast and outcome in quarters of the judging rows, the oldest first; nothing without a time."""
    if not split.by_time:
        return []
    parts = np.array_split(np.arange(len(won)), _PARTS)  # positions of the test are in order of time
    return [
        {"rows": len(part), "forecast": float(forecast[part].mean()), "won": float(won[part].mean())}
        for part in parts
        if len(part)
    ]


def drift(model: Model, columns: dict[str, Column], matrix: np.ndarray, split: Split) -> dict[str, Any]:
    """Population stability of the score and of each column, training rows against judging rows."""
    scores = model.of_matrix(matrix)
    codes: np.ndarray = np.asarray(
        np.searchsorted(np.quantile(scores[split.train], np.linspace(0, 1, 11)[1:-1]), scores)
    )
    found = {}
    for feature in model.features:
        coded = codes_of(columns[feature.name])
        found[feature.name] = measures.population_stability(coded[split.train], coded[split.test])
    return {"score": measures.population_stability(codes[split.train], codes[split.test]), "columns": found}


def slices(
    columns: dict[str, Column],
    won: np.ndarray,
    forecast: np.ndarray,
    split: Split,
    *,
    first: list[str],
    features: list[str],
) -> list[dict[str, Any]]:
    """By group of protected columns and people first, then of features: whether forecasts hold there too."""
    names: list[str] = [*first, *(name for name in features if columns[name].kind == "category")]
    groups = [name for name in names if 1 < columns[name].values.drop_nulls().n_unique() <= _LEVELS]
    return [part for name in groups[: _SLICED + len(first)] for part in _slice(columns[name], won, forecast, split)]


def _slice(column: Column, won: np.ndarray, forecast: np.ndarray, split: Split) -> list[dict[str, Any]]:
    values = column.values.gather(pl.Series(split.test)).cast(pl.String)
    counts = values.value_counts(sort=False).sort(["count", column.name], descending=[True, False]).head(_GROUPS)
    found = []
    for value in counts[column.name].to_list():
        rows = np.flatnonzero(
            (values.is_null() if value is None else values == value).fill_null(value=False).to_numpy()
        )
        if len(rows) < _LEAST:
            continue
        both = min(won[rows].sum(), (1 - won[rows]).sum()) >= _LEAST / 3
        found.append(
            {
                "column": column.name,
                "value": value,
                "rows": len(rows),
                "forecast": float(forecast[rows].mean()),
                "won": float(won[rows].mean()),
                "auc": measures.auc(won[rows], forecast[rows]).value if both else None,
            }
        )
    return found


def top_features(model: Model, matrix: np.ndarray) -> list[dict[str, Any]]:
    """What moves scores most, on average, in log-odds."""
    sample = matrix[:: max(1, len(matrix) // 20_000)]
    moved: np.ndarray = np.abs(model.contributions(sample)).mean(axis=0)
    order: list[int] = np.asarray(np.argsort(-moved, kind="stable")).tolist()[:_TOP]
    features: tuple[Feature, ...] = model.features
    return [{"column": features[place].name, "moves": float(moved[place])} for place in order]
