"""Histogram gradient boosting: scikit-learn's, with what each column contributed read from the trees.

On the way from a tree's root to a leaf each split moves the expected value; the moves, added up by column over all
trees, are the score beside its mean. scikit-learn has no public door to its trees: `_predictors` is read here alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models_ml.encoding import Feature


@dataclass(frozen=True)
class BoostingModel:
    """Trees over the matrix of `encoding`, whose codes of categories they know."""

    features: tuple[Feature, ...]
    estimator: HistGradientBoostingClassifier

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """Log-odds before calibration."""
        return self.estimator.decision_function(matrix)

    @property
    def base(self) -> float:
        """Log-odds of the average training row, as the trees see it."""
        start = float(self.estimator._baseline_prediction[0, 0])
        return start + sum(float(_expected(tree.nodes)[0]) for tree in self._trees)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each feature moves each row's log-odds by, beside `base`."""
        parts = np.zeros((len(matrix), len(self.features)))
        for tree in self._trees:
            _add_moves(tree, matrix, parts)
        return parts

    @property
    def _trees(self) -> list[Any]:
        return [tree for (tree,) in self.estimator._predictors]


def fit_boosting(
    features: tuple[Feature, ...],
    matrix: np.ndarray,
    won: np.ndarray,
    *,
    leaves: int,
    trees: int,
    monotone: Mapping[str, int],
) -> BoostingModel:
    """Fit with categories and missing values as they are, and declared directions kept."""
    estimator = HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=trees,
        max_leaf_nodes=leaves,
        min_samples_leaf=max(20, len(matrix) // 1_000),
        l2_regularization=5.0,
        early_stopping=False,
        categorical_features=[feature.kind == "category" for feature in features],
        monotonic_cst=[monotone.get(feature.name, 0) if feature.kind == "number" else 0 for feature in features],
        random_state=0,
    )
    padded = _with_all_codes(features, matrix)
    estimator.fit(padded, np.append(won, won[: len(padded) - len(won)]))
    # our codes are its codes: without the step that maps them scoring costs half, and a stored model holds no functions
    estimator._preprocessor = None
    return BoostingModel(features, estimator)


def _with_all_codes(features: tuple[Feature, ...], matrix: np.ndarray) -> np.ndarray:
    """The matrix and copies of its first rows with the codes that it lacks, so that the trees know all of them."""
    lacking = {
        place: np.setdiff1d(np.arange(feature.codes), matrix[:, place])
        for place, feature in enumerate(features)
        if feature.kind == "category"
    }
    extra = matrix[: max((len(codes) for codes in lacking.values()), default=0)].copy()
    for place, codes in lacking.items():
        extra[: len(codes), place] = codes[: len(extra)]
    return np.vstack([matrix, extra])


def _expected(nodes: np.ndarray) -> np.ndarray:
    """Of each node the mean of the leaves below it, by training rows. Children stand behind their parents."""
    values: np.ndarray = nodes["value"].astype(float)
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if not node["is_leaf"]:
            left, right = node["left"], node["right"]
            n, m = float(nodes[left]["count"]), float(nodes[right]["count"])
            values[place] = (n * values[left] + m * values[right]) / (n + m)
    return values


def _add_moves(tree: Any, matrix: np.ndarray, parts: np.ndarray) -> None:  # noqa: ANN401  # of a private class
    nodes, expected = tree.nodes, _expected(tree.nodes)
    waiting = [(0, np.arange(len(matrix)))]
    while waiting:
        place, rows = waiting.pop()
        node = nodes[place]
        if node["is_leaf"] or len(rows) == 0:
            continue
        left = _goes_left(tree, node, matrix[rows, node["feature_idx"]])
        for child, part in ((int(node["left"]), rows[left]), (int(node["right"]), rows[~left])):
            parts[part, node["feature_idx"]] += expected[child] - expected[place]
            waiting.append((child, part))


def _goes_left(tree: Any, node: Any, values: np.ndarray) -> np.ndarray:  # noqa: ANN401  # of a private class
    missing = np.isnan(values)
    if not node["is_categorical"]:
        return np.where(missing, bool(node["missing_go_to_left"]), values <= node["num_threshold"])
    codes = np.where(missing, 0, values).astype(np.int64)
    words = tree.raw_left_cat_bitsets[node["bitset_idx"]]
    chosen = (words[codes // 32] >> (codes % 32).astype(np.uint32)) & 1
    return np.where(missing, bool(node["missing_go_to_left"]), chosen.astype(bool))
