"""A model as it is used: features, a linear or boosted core (or none: the base rate), and its calibration.

Calibration is a straight line over log-odds, so that reasons still add up to the score after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from models_ml.boosting import BoostingModel
from models_ml.columns import Column
from models_ml.encoding import Feature, encode
from models_ml.linear import LinearModel

ModelKind = Literal["base rate", "prior", "logistic regression", "gradient boosting"]


@dataclass(frozen=True)
class Model:
    """What turns columns into calibrated probabilities; without a core everything scores the base rate."""

    kind: ModelKind
    core: LinearModel | BoostingModel | None
    slope: float
    intercept: float

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns it reads, in order."""
        return self.core.features if self.core else ()

    def probabilities(self, columns: Mapping[str, Column]) -> np.ndarray:
        """A probability for each row."""
        if self.core is None:
            rows = len(next(iter(columns.values())).values)
            return np.full(rows, expit(self.intercept))
        return self.of_matrix(encode(self.features, columns))

    def of_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """The same of an encoded matrix."""
        if self.core is None:
            return np.full(len(matrix), expit(self.intercept))
        return expit(self.slope * self.core.raw(matrix) + self.intercept)

    @property
    def base(self) -> float:
        """Calibrated log-odds of an average row."""
        return self.slope * self.core.base + self.intercept if self.core else self.intercept

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each feature adds to the calibrated log-odds: with `base` they sum to those of the score."""
        if self.core is None:
            return np.zeros((len(matrix), 0))
        return self.slope * self.core.contributions(matrix)
