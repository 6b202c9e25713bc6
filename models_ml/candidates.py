"""The models that compete, the simplest first, and how one is chosen: by rows later than those it learned from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from models_ml.boosting import BoostingModel, fit_boosting
from models_ml.encoding import Feature
from models_ml.linear import LinearModel, fit_linear
from models_ml.measures import Estimate, log_loss, recalibration, slope_of
from models_ml.model import ModelKind
from models_ml.splits import Split

Core = LinearModel | BoostingModel
Fit = Callable[[tuple[Feature, ...], np.ndarray, np.ndarray], Core]

#: Where a lead comes from and how far it is: what a prior is made of while data are few.
PRIOR_COLUMNS = frozenset(
    {
        "source",
        "lead_source",
        "lead source",
        "origin",
        "lead origin",
        "channel",
        "stage",
        "stage_id",
        "source_id",
        "pipeline_id",
    }
)
#: A more complex model must be better by so much of what the base rate leaves unexplained.
_WORTH = 0.002
#: How far slopes of such models lie from 1 before anything is known of them.
_SLOPE_VARIANCE = 0.3**2
_TINY = 1e-12
_BOLD, _BOLDER = 1.0, 100.0
#: So much of the base rate's loss.
_LITTLE = 0.5


@dataclass(frozen=True)
class Candidate:
    """One way to learn, over all columns or those of the prior alone."""

    kind: ModelKind
    name: str
    fit: Fit | None
    only_prior: bool = False


@dataclass(frozen=True)
class Trial:
    """How a candidate did on rows held out, after the best straight line: lower is better."""

    candidate: Candidate
    loss: float
    slope: float


def candidates(features: tuple[Feature, ...], monotone: Mapping[str, int]) -> list[Candidate]:
    """All that make sense for these columns."""

    def boosted(leaves: int, trees: int) -> Fit:
        return lambda features, matrix, won: fit_boosting(
            features, matrix, won, leaves=leaves, trees=trees, monotone=monotone
        )

    found = [Candidate("base rate", "base rate", None)]
    if not features:
        return found
    if prior_features(features):
        found.append(Candidate("prior", "prior by source and stage", _linear(0.03, monotone), only_prior=True))
    found += [_logistic(strength, monotone) for strength in (0.03, 0.1, _BOLD)]
    found += [
        Candidate("gradient boosting", f"gradient boosting, {trees} trees of {leaves} leaves", boosted(leaves, trees))
        for leaves, trees in ((4, 120), (15, 120))
    ]
    return found


def bolder(trials: list[Trial], monotone: Mapping[str, int]) -> list[Candidate]:
    """Where the least restrained linear model leaves little unexplained: one with hardly any restraint."""
    chosen = choose(trials)
    is_boldest = chosen.candidate.name == _logistic(_BOLD, monotone).name
    is_sure = chosen.loss < _LITTLE * trials[0].loss
    return [_logistic(_BOLDER, monotone)] if is_boldest and is_sure else []


def _logistic(strength: float, monotone: Mapping[str, int]) -> Candidate:
    return Candidate("logistic regression", f"logistic regression, C={strength:g}", _linear(strength, monotone))


def _linear(strength: float, monotone: Mapping[str, int]) -> Fit:
    return lambda features, matrix, won: fit_linear(features, matrix, won, strength=strength, monotone=monotone)


def prior_features(features: tuple[Feature, ...]) -> tuple[int, ...]:
    """Places of the columns that make the prior."""
    return tuple(
        place
        for place, feature in enumerate(features)
        if feature.kind == "category" and feature.name.lower() in PRIOR_COLUMNS
    )


def try_out(
    candidate: Candidate, features: tuple[Feature, ...], matrix: np.ndarray, won: np.ndarray, split: Split
) -> Trial:
    """Fit on each fold's past, look at its future."""
    losses, rows, slopes = 0.0, 0, []
    for fit, held in split.folds:
        forecast, slope = _forecast(candidate, features, matrix, won, fit, held)
        losses += log_loss(won[held], forecast) * len(held)
        rows += len(held)
        slopes.append(slope)
    return Trial(candidate, losses / rows, _pooled(slopes))


def _pooled(slopes: list[Estimate]) -> float:
    """The folds' slope, each as far as it is known, pulled towards 1 as far as it may be chance."""
    weights = np.array([1 / (slope.error**2 + _TINY) for slope in slopes])
    mean = float(np.average([slope.value for slope in slopes], weights=weights))
    return mean if mean <= 0 else 1 + (mean - 1) * _SLOPE_VARIANCE / (_SLOPE_VARIANCE + 1 / float(weights.sum()))


def _forecast(
    candidate: Candidate,
    features: tuple[Feature, ...],
    matrix: np.ndarray,
    won: np.ndarray,
    fit: np.ndarray,
    held: np.ndarray,
) -> tuple[np.ndarray, Estimate]:
    if candidate.fit is None:
        return np.full(len(held), won[held].mean()), Estimate(1.0, 0.0)
    raw = learn(candidate, features, matrix[fit], won[fit]).raw(_seen(candidate, features, matrix[held]))
    slope, intercept = recalibration(won[held], raw)
    return expit(slope * raw + intercept), slope_of(won[held], expit(raw))


def learn(candidate: Candidate, features: tuple[Feature, ...], matrix: np.ndarray, won: np.ndarray) -> Core:
    """Fit this candidate."""
    if candidate.fit is None:
        raise ValueError("The base rate learns nothing but a rate.")
    places = prior_features(features) if candidate.only_prior else tuple(range(len(features)))
    return candidate.fit(tuple(features[place] for place in places), matrix[:, places], won)


def _seen(candidate: Candidate, features: tuple[Feature, ...], matrix: np.ndarray) -> np.ndarray:
    return matrix[:, prior_features(features)] if candidate.only_prior else matrix


def choose(trials: list[Trial]) -> Trial:
    """The best on rows held out; a simpler one where the difference is not worth it; none that points the wrong way."""
    reference = trials[0].loss
    chosen = trials[0]
    for trial in trials[1:]:
        if trial.slope > 0 and chosen.loss - trial.loss > _WORTH * reference:
            chosen = trial
    return chosen
