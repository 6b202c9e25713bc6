"""The double's scores: a model with the card that learning from made-up deals gives, and two deals it speaks of."""

from functools import cache
from typing import Any

import numpy as np
import polars as pl
from fastapi import FastAPI

from models_ml.columns import columns_of
from models_ml.outcome import read_outcome
from models_ml.training import Settings, train

Row = dict[str, Any]


@cache
def card() -> Row:
    """A published card."""
    random = np.random.default_rng(0)
    moves = random.integers(0, 6, 2_000)
    won = np.where(random.random(2_000) < 1 / (1 + np.exp(1.5 - 0.6 * moves)), "won", "lost")
    columns = columns_of(pl.DataFrame({"moves": moves, "owner": random.choice(["a", "b"], 2_000)}))
    return train(columns, read_outcome("outcome", pl.Series("outcome", won)), Settings()).card


def model() -> Row:
    """The promoted model."""
    return {
        "id": "m1",
        "number": 3,
        "subject": "deal",
        "state": "promoted",
        "sha256": "0" * 64,
        "card": card(),
        "data_version": "v1",
        "code_version": "1",
        "horizon_days": 90,
        "created_at": "2026-05-30T09:15:00Z",
        "promoted_at": "2026-05-30T09:16:00Z",
    }


def scores() -> list[Row]:
    """Two deals, the likelier first."""
    reason = {"column": "moves", "words": "Moves 5 raises the odds by 80 %", "effect": 0.59}
    return [
        {
            "id": name,
            "deal_id": name,
            "contact_id": None,
            "title": title,
            "owner_id": None,
            "stage_id": "s",
            "amount_minor": 1_250_000,
            "currency": "EUR",
            "model_id": "m1",
            "model_number": 3,
            "horizon_days": 90,
            "score": score,
            "reasons": reasons,
            "scored_at": "2026-05-30T09:15:00Z",
        }
        for name, title, score, reasons in (("d1", "400 seats *for* Acme", 0.81, [reason]), ("d2", "Pilot", 0.12, []))
    ]


def serve_scores(app: FastAPI, models: list[Row]) -> None:
    """Serve `/v1/scores` and its models; `models` is empty until a model was trained."""

    @app.get("/v1/scores")
    def list_scores(subject: str = "deal", contact_id: str | None = None) -> Row:
        lead = {"deal_id": None, "contact_id": contact_id or "c1", "title": "Ann Lee", "amount_minor": None}
        is_lead = subject == "contact" or contact_id is not None
        return {"items": [scores()[0] | lead] if is_lead else scores()}

    @app.get("/v1/picklists/source")
    def list_sources() -> Row:
        return {"items": [], "next_cursor": None}

    @app.get("/v1/scores/models")
    def list_models(subject: str = "deal") -> Row:
        return {"items": [model | {"subject": subject} for model in models]}
