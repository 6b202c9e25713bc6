"""Reasons add up to the score, of every kind of model, and scikit-learn's own forecasts are what we say they are."""

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from models_ml.boosting import fit_boosting
from models_ml.columns import columns_of
from models_ml.encoding import encode, learn_features
from models_ml.linear import fit_linear
from models_ml.model import Model
from models_ml.scoring import explain
from tests.models_ml.histories import Leads


@pytest.mark.parametrize("kind", ["linear", "boosting"])
def test_reasons_add_up_also_for_missing_and_unseen_values(kind: str) -> None:
    leads = Leads(3_000)
    frame = leads.frame.drop("created_at", "outcome").with_columns(
        visits=pl.when(pl.int_range(3_000) % 7 == 0).then(None).otherwise(pl.col("visits")),
        source=pl.when(pl.int_range(3_000) % 11 == 0).then(None).otherwise(pl.col("source")),
    )
    columns = columns_of(frame)
    features = learn_features(columns)
    matrix = encode(features, {column.name: column for column in columns})
    core = (
        fit_linear(features, matrix, leads.won, strength=1.0, monotone={})
        if kind == "linear"
        else fit_boosting(features, matrix, leads.won, leaves=15, trees=60, monotone={})
    )
    model = Model("logistic regression", core, 0.9, 0.1)
    unseen = {
        column.name: column for column in columns_of(frame.with_columns(source=pl.lit("never heard of")).head(50))
    }
    for seen in (matrix, encode(features, unseen)):
        total = model.base + model.contributions(seen).sum(axis=1)
        assert np.allclose(total, logit(model.of_matrix(seen)), atol=1e-9)
    reasons = explain(model, {column.name: column for column in columns})
    assert any(
        reason.words.startswith("Source “referral” ") and "the odds by" in reason.words
        for row in reasons
        for reason in row
    )


@pytest.mark.parametrize("direction", [1, -1])
def test_a_declared_direction_is_kept(direction: int) -> None:
    leads = Leads(3_000)
    columns = columns_of(leads.frame.select("visits", "depth"))
    features = learn_features(columns)
    matrix = encode(features, {column.name: column for column in columns})
    visits = next(place for place, feature in enumerate(features) if feature.name == "visits")
    line = np.repeat(matrix[:1], 50, axis=0)
    line[:, visits] = np.linspace(-3, 3, 50)
    for core in (
        fit_linear(features, matrix, leads.won, strength=1.0, monotone={"visits": direction}),
        fit_boosting(features, matrix, leads.won, leaves=15, trees=60, monotone={"visits": direction}),
    ):
        assert (np.diff(core.raw(line)) * direction >= -1e-12).all()
