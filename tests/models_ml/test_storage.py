"""Stored models: the same bytes for the same data, and nothing opens that is not ours."""

import functools
import os

import numpy as np
import pytest
import skops.io

from models_ml import storage
from models_ml.boosting import fit_boosting
from models_ml.columns import columns_of
from models_ml.encoding import encode, learn_features
from models_ml.errors import UntrustedModelError
from models_ml.linear import fit_linear
from models_ml.model import Model
from tests.models_ml.histories import Leads


def trained(kind: str) -> tuple[Model, np.ndarray]:
    leads = Leads(1_500)
    columns = columns_of(leads.frame.drop("created_at", "outcome"))
    features = learn_features(columns)
    matrix = encode(features, {column.name: column for column in columns})
    if kind == "linear":
        core = fit_linear(features, matrix, leads.won, strength=1.0, monotone={})
        return Model("logistic regression", core, 0.9, 0.1), matrix
    boosted = fit_boosting(features, matrix, leads.won, leaves=8, trees=20, monotone={})
    return Model("gradient boosting", boosted, 0.9, 0.1), matrix


@pytest.mark.parametrize("kind", ["linear", "boosting"])
def test_a_model_comes_back_as_it_was_and_is_the_same_bytes(kind: str) -> None:
    model, matrix = trained(kind)
    stored = storage.dump(model)
    again, _ = trained(kind)
    assert storage.dump(again) == stored
    back = storage.load(stored, expected_sha256=storage.fingerprint(stored))
    assert np.array_equal(back.of_matrix(matrix), model.of_matrix(matrix))
    assert np.allclose(back.contributions(matrix), model.contributions(matrix))
    assert storage.dump(back) == stored


def test_other_bytes_do_not_open() -> None:
    stored = storage.dump(trained("linear")[0])
    with pytest.raises(UntrustedModelError, match="hash differs"):
        storage.load(stored + b"x", expected_sha256=storage.fingerprint(stored))
    for garbage in (b"", b"garbage", stored[:200]):
        with pytest.raises(UntrustedModelError):
            storage.load(garbage, expected_sha256=storage.fingerprint(garbage))


@pytest.mark.parametrize("planted", [os.system, functools.partial(os.system, "true"), storage.dump])
def test_types_that_are_not_ours_are_refused(planted: object) -> None:
    stored = skops.io.dumps({"format": 1, "core": {"estimator": planted}})
    with pytest.raises(UntrustedModelError, match=r"holds types|cannot be read"):
        storage.load(stored, expected_sha256=storage.fingerprint(stored))
