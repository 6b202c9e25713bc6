"""Logistic regression as a sum of one term per column, so that a score is its reasons: exact, and quick to read off."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from models_ml.encoding import Feature


@dataclass(frozen=True)
class LinearModel:
    """`terms` of a category: what each level, any other and a missing one add; of a number: slope, missing, always."""

    features: tuple[Feature, ...]
    base: float
    terms: tuple[np.ndarray, ...]

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """Log-odds before calibration."""
        total = np.full(len(matrix), self.base)
        for place, (feature, terms) in enumerate(zip(self.features, self.terms, strict=True)):
            total += _term(feature, terms, matrix[:, place])
        return total

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each feature adds to the log-odds of each row, beside `base`; of an average row nothing."""
        parts = [
            _term(feature, terms, matrix[:, place])
            for place, (feature, terms) in enumerate(zip(self.features, self.terms, strict=True))
        ]
        return np.column_stack(parts) if parts else np.zeros((len(matrix), 0))


def fit_linear(
    features: tuple[Feature, ...], matrix: np.ndarray, won: np.ndarray, *, strength: float, monotone: Mapping[str, int]
) -> LinearModel:
    """Fit with an L2 penalty; a number that would work against its declared direction is left without effect."""
    silent: frozenset[str] = frozenset()
    while True:
        model = _fit(features, matrix, won, strength, silent)
        wrong = {
            feature.name
            for feature, terms in zip(features, model.terms, strict=True)
            if feature.kind == "number" and terms[0] * monotone.get(feature.name, 0) < 0
        }
        if not wrong:
            return model
        silent |= wrong


def _fit(
    features: tuple[Feature, ...], matrix: np.ndarray, won: np.ndarray, strength: float, silent: frozenset[str]
) -> LinearModel:
    design = _design(features, matrix, silent)
    fitted = LogisticRegression(C=strength, max_iter=300, tol=1e-5).fit(design, won)
    weights, base, start = fitted.coef_[0], float(fitted.intercept_[0]), 0
    means = np.asarray(design.mean(axis=0)).ravel()
    terms = []
    for feature in features:
        part = slice(start, start := start + _width(feature))
        average = float(weights[part] @ means[part])
        base += average
        terms.append(_centred(feature, weights[part], average, is_silent=feature.name in silent))
    return LinearModel(features, base, tuple(terms))


def _width(feature: Feature) -> int:
    return feature.codes + 1 if feature.kind == "category" else 2


def _centred(feature: Feature, weights: np.ndarray, average: float, *, is_silent: bool) -> np.ndarray:
    if feature.kind == "category":
        return weights - average
    slope, absent = weights
    return np.array([0.0 if is_silent else slope, absent - average, -average])


def _design(features: tuple[Feature, ...], matrix: np.ndarray, silent: frozenset[str]) -> csr_matrix:
    """One column for each code of a category; of a number its deviation and whether it is missing."""
    rows, places, values, start = len(matrix), [], [], 0
    for place, feature in enumerate(features):
        given = matrix[:, place]
        missing = np.isnan(given)
        if feature.kind == "category":
            places.append(start + np.where(missing, feature.codes, given).astype(np.int32))
            values.append(np.ones(rows))
        else:
            quiet = missing if feature.name not in silent else np.ones(rows, dtype=bool)
            places += [np.full(rows, start, dtype=np.int32), np.full(rows, start + 1, dtype=np.int32)]
            values += [np.where(quiet, 0.0, _deviation(feature, given)), missing.astype(float)]
        start += _width(feature)
    entries = len(places)
    ends = np.arange(0, entries * rows + 1, entries)
    return csr_matrix((np.column_stack(values).ravel(), np.column_stack(places).ravel(), ends), shape=(rows, start))


def _term(feature: Feature, terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    missing = np.isnan(values)
    if feature.kind == "category":
        return terms[np.where(missing, feature.codes, values).astype(np.intp)]
    slope, absent, always = terms
    return np.where(missing, absent, slope * _deviation(feature, values) + always)


def _deviation(feature: Feature, values: np.ndarray) -> np.ndarray:
    inside = values.clip(feature.low, feature.high)
    return ((np.log1p(inside) if feature.by_order else inside) - feature.centre) / feature.scale
