"""The card of a model: what it was made of, how good it is on rows it never saw, and whether its scores may be used.

A card is a plain dictionary, the same bytes for the same data. `abstains` comes with every reason that holds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from models_ml import measures
from models_ml.candidates import Trial
from models_ml.columns import Column
from models_ml.model import Model
from models_ml.outcome import OPEN, Outcome
from models_ml.slices import drift, over_time, slices, top_features
from models_ml.splits import Split
from models_ml.suspicion import DOUBTFUL, Suspicion

Card = dict[str, Any]

#: Of each outcome: with fewer, a quarter of them cannot tell a model from luck (of 50 each, an AUC is known to ±0.11).
FLOOR = 200
#: By how many standard errors an AUC has to lie above one half (1 in 200 by chance), and a Brier gain above nothing.
_SURE_OF_AUC, _SURE_OF_BRIER = 2.576, 1.645
#: Calibration is broken where the wins are off by so much and beyond chance, or the slope is surely outside of these.
_LEVEL, _LEVEL_SURE, _SLOPES = 1.4, 3.3, (0.5, 2.0)
_DIGITS = 6


_FIGURES = (
    *("auc", "average_precision", "brier", "brier_reference", "calibration", "lift", "drift", "slices"),
    "top_features",
)


def card_of_nothing(reason: str) -> Card:
    """The card of what could not be judged at all."""
    return {
        "verdict": "abstains",
        "reasons": [reason],
        **dict.fromkeys(("target", "model", "rows", "window")),
        **{name: [] for name in ("leaks", "identifiers", "warnings")},
        "duplicates": 0,
        "left_out": {},
        **dict.fromkeys(_FIGURES),
    }


@dataclass(frozen=True)
class Judged:
    """A fitted model with the rows it is judged by; without a split or a model nothing could be judged."""

    model: Model | None
    won: np.ndarray
    split: Split | None
    matrix: np.ndarray | None
    trials: tuple[Trial, ...]
    columns: dict[str, Column]
    time: Column | None
    chosen: Trial | None = None


def write_card(
    judged: Judged,
    *,
    outcome: Outcome,
    suspicion: Suspicion,
    duplicates: int,
    columns: list[Column],
    time: Column | None,
) -> Card:
    """Everything there is to say, and the verdict."""
    card: Card = {
        "verdict": "abstains",
        "reasons": [],
        "target": {"column": outcome.column, "won": outcome.won, "lost": outcome.lost, "open": list(outcome.open)},
        "model": _model(judged),
        "rows": _rows(judged, outcome, duplicates, time),
        "window": _window(judged),
        "leaks": list(suspicion.leaks),
        "identifiers": list(suspicion.identifiers),
        "duplicates": duplicates,
        "left_out": _left_out(suspicion),
        "warnings": _warnings(columns, time, outcome),
    }
    card |= dict.fromkeys(_FIGURES)
    refusals = _one_sided(outcome) + _floor(judged)
    if judged.model is not None and judged.split is not None and judged.matrix is not None:
        card |= _figures(judged, suspicion)
        refusals += _unproven(judged, card) + _uncalibrated(card)
        card["warnings"] += _doubts(card, suspicion)
    elif judged.split is not None and judged.trials:
        refusals.append(
            "No column is left to learn from: "
            + ("; ".join(_left_out(suspicion).values()) or "there are none but the target")
            + "."
        )
    elif not refusals:
        refusals.append("The rows cannot be cut into a past and a future that both hold won and lost rows.")
    card["verdict"] = "abstains" if refusals else "published"
    card["reasons"] = refusals or [_praise(card)]
    rounded: Card = _round(card)
    return rounded


def _one_sided(outcome: Outcome) -> list[str]:
    if outcome.won and outcome.lost:
        return []
    still_open = int((outcome.labels == OPEN).sum())
    rows = _s(still_open, "row is", "rows are")
    more = (
        f" {still_open:,} {rows} empty, which reads as still open: write the other outcome into those that had it."
        if still_open
        else ""
    )
    return [f"Column {outcome.column} holds only {(outcome.won or outcome.lost)!r}; a score needs both outcomes.{more}"]


def _model(judged: Judged) -> dict[str, Any]:
    tried = [{"name": trial.candidate.name, "log_loss": trial.loss} for trial in judged.trials]
    name = next((trial.candidate.name for trial in judged.trials if judged.model and trial is _shown(judged)), None)
    features = [feature.name for feature in judged.model.features] if judged.model else []
    return {
        "kind": judged.model.kind if judged.model else None,
        "name": name,
        "features": features,
        "candidates": tried,
    }


def _shown(judged: Judged) -> Trial | None:
    if judged.chosen is not None and judged.chosen.candidate.fit:
        return judged.chosen
    return min(judged.trials[1:], key=lambda trial: trial.loss, default=None)


def _rows(judged: Judged, outcome: Outcome, duplicates: int, time: Column | None) -> dict[str, int]:
    closed = outcome.closed
    undated = int(time.values.gather(closed).null_count()) if time else 0
    return {
        "all": len(outcome.labels),
        "open": int((outcome.labels == OPEN).sum()),
        "undated": undated,
        "duplicates": duplicates,
        "won": int(judged.won.sum()),
        "lost": int((judged.won == 0).sum()),
        "train": len(judged.split.train) if judged.split else 0,
        "test": len(judged.split.test) if judged.split else 0,
    }


def _window(judged: Judged) -> dict[str, Any]:
    if judged.time is None:
        return {"split": "at random", "column": None, "from": None, "to": None, "test_from": None}
    values = judged.time.values
    test = values.gather(judged.split.test) if judged.split else pl.Series(values=[], dtype=values.dtype)
    return {
        "split": "by time",
        "column": judged.time.name,
        "from": _shown_instant(values.min()),
        "to": _shown_instant(values.max()),
        "test_from": _shown_instant(test.min()),
    }


def _shown_instant(value: Any) -> Any:  # noqa: ANN401  # an instant or a number
    return value.isoformat() if hasattr(value, "isoformat") else value


def _left_out(suspicion: Suspicion) -> dict[str, str]:
    return {**suspicion.unused, **suspicion.sensitive, **suspicion.identifiers, **suspicion.leaks}


def _warnings(columns: list[Column], time: Column | None, outcome: Outcome) -> list[str]:
    found = [
        f"{column.name}: {column.unreadable:,} {_s(column.unreadable, 'value is', 'values are')} no "
        f"{'date' if column.kind == 'instant' else 'number'} and left out as missing"
        for column in columns
        if column.unreadable
    ]
    instants = [column.name for column in columns if column.kind == "instant"]
    if time is None and instants:
        found.append(
            "split at random: past and future are mixed; "
            f"name the time of each row (one of {', '.join(instants)}?) to be judged by the future"
        )
    if outcome.open:
        found.append(f"rows with {', '.join(map(repr, outcome.open[:5]))} in {outcome.column} count as still open")
    return found


def _doubts(card: Card, suspicion: Suspicion) -> list[str]:
    """What is good beyond what one expects of facts that were known before, and yet may be so."""
    used = card["model"]["features"]
    alone = {name: value for name, value in suspicion.power.items() if name in used and value >= DOUBTFUL}
    if not alone and (card["auc"] < DOUBTFUL or not used):
        return []
    asked = list(alone) or [one["column"] for one in card["top_features"][:3]]
    asked_of = f"{', '.join(asked)} {_s(len(asked), 'was', 'were')}"
    doubt = f"AUC {card['auc']:.3f} is rare for what was known beforehand"
    return [f"{doubt}: ask when {asked_of} filled in, and leave out what came with the outcome (--without)"]


def _floor(judged: Judged) -> list[str]:
    won, lost = int(judged.won.sum()), int((judged.won == 0).sum())
    if min(won, lost) >= FLOOR:
        return []
    return [
        f"Too few rows: {won:,} {_s(won, 'is', 'are')} won and {lost:,} lost, and at least {FLOOR} of each are needed."
    ]


def _s(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def _figures(judged: Judged, suspicion: Suspicion) -> Card:
    model, split, matrix = judged.model, judged.split, judged.matrix
    assert model is not None and split is not None and matrix is not None  # noqa: S101, PT018  # for the type checker
    seen = matrix[split.test]
    forecast, won = model.of_matrix(seen), judged.won[split.test]
    rate = float(won.mean())
    area, gain, slope = (
        measures.auc(won, forecast),
        measures.improvement(won, forecast, rate),
        measures.slope_of(won, forecast),
    )
    return {
        "auc": area.value,
        "auc_interval": [max(0.0, area.low), min(1.0, area.high)],
        "average_precision": measures.average_precision(won, forecast),
        "average_precision_reference": rate,
        "brier": measures.brier(won, forecast),
        "brier_reference": rate * (1 - rate),
        "brier_gain": {"value": gain.value, "low": gain.value - _SURE_OF_BRIER * gain.error},
        "calibration": {
            "slope": slope.value,
            "slope_interval": [slope.low, slope.high],
            "expected": float(forecast.sum()),
            "observed": float(won.sum()),
            "level_error": float(np.sqrt(np.sum(forecast * (1 - forecast)))),
            "curve": measures.curve(won, forecast),
            "over_time": over_time(won, forecast, split),
        },
        "lift": measures.lift(won, forecast),
        "drift": drift(model, judged.columns, matrix, split),
        "slices": slices(
            judged.columns,
            won,
            forecast,
            split,
            first=list(suspicion.sensitive),
            features=[f.name for f in model.features],
        ),
        "top_features": top_features(model, seen),
        "auc_error": area.error,
    }


def _unproven(judged: Judged, card: Card) -> list[str]:
    error = card.pop("auc_error")
    best = judged.chosen is not None and judged.chosen.candidate.fit is not None
    sure = card["auc"] - _SURE_OF_AUC * error > 1 / 2 and card["brier_gain"]["low"] > 0
    if best and sure:
        return []
    low, high = card["auc_interval"]
    sentence = (
        f"The base rate is not beaten with confidence: on rows never seen, AUC {card['auc']:.3f} "
        f"({low:.3f} to {high:.3f}; 0.5 is chance), "
        f"Brier {card['brier']:.4f} against {card['brier_reference']:.4f} for giving every row the same rate."
    )
    return [sentence]


def _uncalibrated(card: Card) -> list[str]:
    calibration = card["calibration"]
    expected, observed = calibration["expected"], calibration["observed"]
    ratio = (observed + 0.5) / (expected + 0.5)
    low, high = calibration["slope_interval"]
    if abs(observed - expected) > _LEVEL_SURE * calibration["level_error"] and max(ratio, 1 / ratio) > _LEVEL:
        return [
            f"Drift breaks calibration: of rows never seen {expected:,.0f} were to be won, and {observed:,.0f} were."
        ]
    if high < _SLOPES[0] or low > _SLOPES[1]:
        return [f"Calibration does not hold: on rows never seen its slope is {calibration['slope']:.2f}, not near 1."]
    return []


def _praise(card: Card) -> str:
    low, high = card["auc_interval"]
    return (
        f"Beats the base rate on rows never seen: AUC {card['auc']:.3f} ({low:.3f} to {high:.3f}), "
        f"Brier {card['brier']:.4f} against {card['brier_reference']:.4f}, "
        f"slope of calibration {card['calibration']['slope']:.2f}."
    )


def _round(value: Any) -> Any:  # noqa: ANN401  # of JSON
    if isinstance(value, dict):
        return {key: _round(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_round(part) for part in value]
    if isinstance(value, float):
        return round(float(value), _DIGITS)
    return value
