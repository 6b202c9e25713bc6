"""Scores and their reasons: a probability per row, and what moved it, in words.

Reasons are changes of the log-odds. With the model's base they sum to the log-odds of the score, exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models_ml.columns import Column
from models_ml.encoding import encode
from models_ml.model import Model

_SHOWN = 5
_LEAST = 0.02
_DIGITS = 4
#: From here on a factor says more than a percentage.
_TIMES = 2.0


@dataclass(frozen=True)
class Reason:
    """What one column's value did to a score."""

    column: str
    value: str | float | None
    effect: float

    @property
    def words(self) -> str:
        """As a rep reads it: odds are multiplied, so that reasons of any score compare."""
        factor = float(np.exp(abs(self.effect)))
        about = f"{label(self.column)} {_shown(self.value)}"
        if factor >= _TIMES:
            return f"{about} {'multiplies' if self.effect > 0 else 'divides'} the odds by {factor:.1f}"
        return f"{about} {'raises' if self.effect > 0 else 'lowers'} the odds by {abs(np.expm1(self.effect)):.0%}"


def score(model: Model, columns: Mapping[str, Column]) -> np.ndarray:
    """A probability for each row."""
    return model.probabilities(columns)


def explain(model: Model, columns: Mapping[str, Column], *, most: int = _SHOWN) -> list[list[Reason]]:
    """For each row what moved it most, the strongest first; effects too small to matter are left out."""
    if not model.features:
        return [[] for _ in next(iter(columns.values())).values]
    parts = model.contributions(encode(model.features, columns))
    values = [columns[feature.name].values.to_list() for feature in model.features]
    order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :most]
    return [
        [
            Reason(model.features[place].name, values[place][row], round(float(parts[row, place]), _DIGITS))
            for place in places
            if abs(parts[row, place]) >= _LEAST
        ]
        for row, places in enumerate(order)
    ]


def label(column: str) -> str:
    """A column's name as words."""
    words = column.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _shown(value: str | float | None) -> str:
    if value is None:
        return "(not known)"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    return f"“{value}”"
