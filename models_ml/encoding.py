"""Columns as a matrix, the same for training and for scoring: categories first as codes, then numbers; nan is missing.

An unseen or rare category has a code of its own. Instants become the days between them and the time of scoring.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from models_ml.columns import Column
from models_ml.errors import UnknownColumnError

_LEVELS = 200
_RARE_SHARE, _RARE_ROWS = 0.001, 10
_SKEWED = 1.3
_DAY = 86_400.0


@dataclass(frozen=True)
class Feature:
    """How one column becomes a column of the matrix; of numbers what is usual, and whether they differ by orders."""

    name: str
    kind: Literal["category", "number"]
    levels: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    by_order: bool = False

    @property
    def codes(self) -> int:
        """Number of codes of a category: its levels, and one for all others."""
        return len(self.levels) + 1


def measured(column: Column, time: Column | None) -> Column:
    """An instant as days before the time of scoring (since 1970 where there is none); anything else as it is."""
    if column.kind != "instant":
        return column
    seconds = column.values.dt.epoch("s").cast(pl.Float64)
    if time is not None and time.kind == "instant":
        seconds = time.values.dt.epoch("s").cast(pl.Float64) - seconds
    return Column(column.name, "number", (seconds / _DAY).alias(column.name), column.unreadable)


def learn_features(columns: list[Column]) -> tuple[Feature, ...]:
    """What the training rows say of their columns, categories first."""
    learned = [_category(column) if column.kind == "category" else _number(column) for column in columns]
    return tuple(sorted((feature for feature in learned if feature), key=lambda feature: (feature.kind, feature.name)))


def _category(column: Column) -> Feature | None:
    rare = max(_RARE_ROWS, _RARE_SHARE * len(column.values))
    counts = (
        column.values.drop_nulls()
        .value_counts()
        .filter(pl.col("count") >= rare)
        .sort(["count", column.name], descending=[True, False])
    )
    levels = sorted(counts[column.name].head(_LEVELS).to_list())
    if not levels:
        return None
    return Feature(column.name, "category", tuple(levels))


def _number(column: Column) -> Feature | None:
    known = column.values.drop_nulls().to_numpy()
    if len(known) == 0:
        return None
    low, high = (float(edge) for edge in np.quantile(known, (0.005, 0.995)))
    by_order = bool(known.min() >= 0 and known.mean() > _SKEWED * np.median(known))
    inside = np.log1p(known.clip(low, high)) if by_order else known.clip(low, high)
    scale = float(inside.std())
    return Feature(column.name, "number", (), float(inside.mean()), scale if scale > 0 else 1.0, low, high, by_order)


def encode(features: tuple[Feature, ...], columns: Mapping[str, Column]) -> np.ndarray:
    """The matrix of these columns in the features' order."""
    rows = len(next(iter(columns.values())).values) if columns else 0
    matrix = np.empty((rows, len(features)), order="F")
    for place, feature in enumerate(features):
        if feature.name not in columns:
            raise UnknownColumnError(f"The model needs a column {feature.name}, which is not there.")
        matrix[:, place] = _encoded(feature, columns[feature.name])
    return matrix


def _encoded(feature: Feature, column: Column) -> np.ndarray:
    if feature.kind == "number":
        return column.values.cast(pl.Float64, strict=False).to_numpy()
    texts = column.values.cast(pl.String)
    known = texts.cast(pl.Enum(list(feature.levels)), strict=False).to_physical().cast(pl.Float64)
    return known.fill_null(float(len(feature.levels))).set(texts.is_null(), None).to_numpy()
