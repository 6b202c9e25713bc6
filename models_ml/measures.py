"""How good probabilities are: plain functions over outcomes and forecasts, with intervals where a choice needs them."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

#: Two-sided 95 %.
NORMAL_95 = 1.959964
_EDGE = 1e-6
_TENTHS = 10


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - NORMAL_95 * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + NORMAL_95 * self.error


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Their logits, kept finite."""
    return logit(np.clip(probability, _EDGE, 1 - _EDGE))


def auc(won: np.ndarray, score: np.ndarray) -> Estimate:
    """Area under the ROC curve with DeLong's standard error."""
    positive, negative = score[won == 1], score[won == 0]
    m, n = len(positive), len(negative)
    if not m or not n:
        return Estimate(0.5, 0.5)  # nothing is told from nothing
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n  # of each won one: the share of lost ones that it beats
    below = 1 - (ranks[m:] - rankdata(negative)) / m
    error = np.sqrt((above.var(ddof=1) / m if m > 1 else 0.0) + (below.var(ddof=1) / n if n > 1 else 0.0))
    return Estimate(float(above.mean()), float(error))


def average_precision(won: np.ndarray, probability: np.ndarray) -> float:
    """Area under precision over recall."""
    return float(average_precision_score(won, probability))


def brier(won: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared distance between forecast and outcome."""
    return float(np.mean((won - probability) ** 2))


def improvement(won: np.ndarray, probability: np.ndarray, reference: float) -> Estimate:
    """By how much the Brier score is better than that of one constant, row by row."""
    gain = (won - reference) ** 2 - (won - probability) ** 2
    return Estimate(float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain))))


def log_loss(won: np.ndarray, probability: np.ndarray) -> float:
    """Mean surprise."""
    p = np.clip(probability, _EDGE, 1 - _EDGE)
    return float(-np.mean(np.where(won == 1, np.log(p), np.log1p(-p))))


def recalibration(won: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    """Slope and intercept by which log-odds fit these outcomes best (Platt)."""
    if raw.std() < _EDGE:
        return 1.0, float(log_odds(won.mean()) - raw.mean())
    line = LogisticRegression(C=np.inf, max_iter=1_000).fit(raw.reshape(-1, 1), won)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def slope_of(won: np.ndarray, probability: np.ndarray) -> Estimate:
    """Slope of calibration: 1 where forecasts are neither too bold nor too timid."""
    raw = log_odds(probability)
    slope, intercept = recalibration(won, raw)
    fitted = expit(slope * raw + intercept)
    weights = fitted * (1 - fitted)
    centre = np.average(raw, weights=weights) if weights.sum() else 0.0
    information = float(np.sum(weights * (raw - centre) ** 2))
    return Estimate(slope, float(1 / np.sqrt(information)) if information > 0 else 0.0)


def shift_to(raw: np.ndarray, slope: float, rate: float) -> float:
    """The intercept with which the mean forecast is this rate."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(slope * raw + middle).mean() < rate else (low, middle)
    return (low + high) / 2


def curve(won: np.ndarray, probability: np.ndarray) -> list[dict[str, float]]:
    """Forecast and outcome by tenths of the forecast, the lowest first."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, _TENTHS) if len(part)]
    return [
        {"rows": len(part), "forecast": float(probability[part].mean()), "won": float(won[part].mean())}
        for part in parts
    ]


def lift(won: np.ndarray, probability: np.ndarray) -> list[dict[str, float]]:
    """By tenths of the score, the highest first: how often won against the average, and the share of all won so far."""
    rate, found, tenths = float(won.mean()), 0.0, []
    for part in reversed(curve(won, probability)):
        found += part["rows"] * part["won"]
        tenths.append({"rows": part["rows"], "lift": part["won"] / rate, "captured": found / (rate * len(won))})
    return tenths


def population_stability(before: np.ndarray, after: np.ndarray) -> float:
    """PSI of two samples of codes: below 0.1 quiet, above 0.25 another population."""
    codes = int(max(before.max(), after.max())) + 1
    # half a row more in each cell, so that an empty one is rare, not impossible
    p = (np.bincount(before, minlength=codes) + 0.5) / (len(before) + 0.5 * codes)
    q = (np.bincount(after, minlength=codes) + 0.5) / (len(after) + 0.5 * codes)
    return float(np.sum((q - p) * np.log(q / p)))
