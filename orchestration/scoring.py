"""Scores of deals: learn from `lead_features` as published, keep what was learned through the API, score what is open.

A deal teaches once, at one of its instants that chance picked: rows of one deal in past and future would be remembered.
It was won if that came within the horizon after the instant; before the horizon is over, what is open stays open.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Self
from uuid import UUID

import httpx
import polars as pl

from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.reader import Session
from models_ml import storage
from models_ml.card import Card
from models_ml.columns import Column, columns_of
from models_ml.errors import ScoringError
from models_ml.outcome import read_outcome
from models_ml.scoring import Reason, explain, score
from models_ml.training import Settings, Trained, features_of, train

HORIZON_DAYS = 90
TIME = "scored_at"
FEATURES = (
    "pipeline_id",
    "stage_id",
    "source_id",
    "amount_minor",
    "has_company",
    "has_contact",
    "moves",
    "changes",
    "days_since_created",
    "days_in_stage",
    "days_to_close_date",
)
_ABOUT = ("deal_id", TIME, "is_present", "outcome", "outcome_at")
_NUMBERS = frozenset({"amount_minor", "moves", "changes", "days_since_created", "days_in_stage", "days_to_close_date"})
#: A deal that has gone stale is not more likely for it.
_MONOTONE = {"days_in_stage": -1}
_CHUNK = 500


def read_features(session: Session, organization_id: UUID, *, is_present: bool = False) -> pl.DataFrame:
    """An organization's rows of the mart, in one order; only those of open deals as they are, if `is_present`."""
    columns = (*_ABOUT, *FEATURES)
    statement = Statement(session.dialect, organization_id)
    conditions = ["is_present"] if is_present else []
    statement.mart("features", Mart.LEAD_FEATURES, columns=", ".join(columns), conditions=conditions)
    rows = session.fetch(statement.compile("select * from features order by deal_id, scored_at"))
    series = [_series(name, [row[place] for row in rows]) for place, name in enumerate(columns)]
    return pl.DataFrame(series)


def _series(name: str, values: list[Any]) -> pl.Series:
    if name in (TIME, "outcome_at"):
        return pl.Series(name, values, pl.Datetime("us", "UTC"))
    if name in _NUMBERS:
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    if name.startswith(("is_", "has_")):
        return pl.Series(name, values, pl.Boolean)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


def teaching_rows(features: pl.DataFrame, *, horizon_days: int = HORIZON_DAYS) -> pl.DataFrame:
    """One row per deal, with `won`: yes or no within the horizon, null while that is open."""
    if features.is_empty():
        raise ScoringError("No deal is in the warehouse yet; scores need deals that were won and lost.")
    known_until: datetime = max(features[TIME].max(), features["outcome_at"].max() or features[TIME].max())  # type: ignore[type-var,assignment]
    horizon = timedelta(days=horizon_days)
    picked = features.with_columns(
        luck=pl.concat_str(pl.col("deal_id"), pl.col(TIME).cast(pl.String)).map_elements(_luck, return_dtype=pl.Int64)
    )
    one = picked.sort("deal_id", "luck").unique("deal_id", keep="first", maintain_order=True).drop("luck")
    in_time = pl.col("outcome_at") - pl.col(TIME) <= horizon
    over = (pl.lit(known_until) - pl.col(TIME) > horizon) | pl.col("outcome").is_not_null()
    won = (
        pl.when((pl.col("outcome") == "won") & in_time)
        .then(pl.lit("yes"))
        .when(over)
        .then(pl.lit("no"))
        .otherwise(pl.lit(None, pl.String))
    )
    return one.with_columns(won=won).sort(TIME, "deal_id")


def _luck(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:7])


def learn(features: pl.DataFrame, *, horizon_days: int = HORIZON_DAYS) -> Trained:
    """A model of an organization's deals, and its card."""
    rows = teaching_rows(features, horizon_days=horizon_days)
    settings = Settings(time=TIME, monotone=_MONOTONE)
    return train(columns_of(rows.select(TIME, *FEATURES)), read_outcome("won", rows["won"]), settings)


def is_better(card: Card, present: Mapping[str, Any] | None) -> str | None:
    """Why a new model should not take the present one's place; None where it may."""
    if card["verdict"] != "published":
        return card["reasons"][0] if card["reasons"] else "it abstains"
    if present is None or present["card"].get("auc") is None:
        return None
    gain, before = card["brier_reference"] - card["brier"], present["card"]
    if card["auc"] < before["auc"] - _WORSE and gain < before["brier_reference"] - before["brier"]:
        return f"It is worse than the present model: AUC {card['auc']:.3f} against {before['auc']:.3f}."
    return None


_WORSE = 0.02


def scores_of(
    model_bytes: bytes, digest: str, features: pl.DataFrame, *, names: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """A score with reasons for each deal that is open, as of its last change; `names` are those of stages and such."""
    model = storage.load(model_bytes, expected_sha256=digest)
    present = features.filter(pl.col("is_present"))
    if present.is_empty():
        return
    columns = columns_of(present.select(TIME, *FEATURES))
    time = next(column for column in columns if column.name == TIME)
    read: dict[str, Column] = features_of(columns, time)
    rows = zip(present["deal_id"], present[TIME], score(model, read), explain(model, read), strict=True)
    for deal_id, scored_at, probability, reasons in rows:
        shown = [{"column": one.column, "words": _words(one, names), "effect": one.effect} for one in reasons]
        yield {
            "deal_id": deal_id,
            "score": round(float(probability), 6),
            "reasons": shown,
            "scored_at": scored_at.isoformat(),
        }


def _words(reason: Reason, names: Mapping[str, str]) -> str:
    """As a rep reads it: names for ids, money for minor units."""
    value = reason.value
    if isinstance(value, str):
        value = names.get(value, value)
    elif reason.column == "amount_minor" and value is not None:
        value /= 100
    column = reason.column.removesuffix("_id").removesuffix("_minor")
    return Reason(column, value, reason.effect).words[:300]


@dataclass
class ScoresClient:
    """The API's scores, for a service key or a signed-in administrator."""

    http: httpx.Client

    @classmethod
    def at(cls, api_url: str, token: str | None) -> Self:
        """A client that shows this token or key, if it has one yet."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return cls(httpx.Client(base_url=api_url, timeout=120, headers=headers))

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        """What the API answers.

        Raises:
            ScoringError: it refuses; says why in its words.
        """
        try:
            answer = self.http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ScoringError(f"The API cannot be reached: {error}.") from error
        if answer.is_error:
            problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            raise ScoringError(problem.get("detail") or f"The API answered {answer.status_code}.")
        return answer.json()

    @property
    def organization_id(self) -> UUID:
        """Whose scores these are."""
        return UUID(self.call("GET", "/v1/me")["organization"]["id"])

    def models(self) -> list[dict[str, Any]]:
        """Models with their cards, the newest first."""
        found: list[dict[str, Any]] = self.call("GET", "/v1/scores/models")["items"]
        return found

    def present(self) -> dict[str, Any] | None:
        """The model that scores."""
        return next((model for model in self.models() if model["state"] == "promoted"), None)

    def keep(self, trained: Trained, *, data_version: str, horizon_days: int) -> dict[str, Any]:
        """Store a model as a shadow; an abstaining one too, so that its card can be read."""
        stored = storage.dump(trained.model) if trained.model else b""
        body = {
            "artefact": base64.b64encode(stored).decode(),
            "sha256": storage.fingerprint(stored),
            "card": trained.card,
            "data_version": data_version[:100],
            "code_version": f"sluice {version('sluice')}, scikit-learn {version('scikit-learn')}",
            "horizon_days": horizon_days,
        }
        kept: dict[str, Any] = self.call("POST", "/v1/scores/models", body)
        return kept

    def names(self) -> dict[str, str]:
        """Names of pipelines, stages and sources by their ids."""
        found: dict[str, str] = {}
        for pipeline in self._all("/v1/pipelines"):
            found[pipeline["id"]] = pipeline["name"]
            found |= {stage["id"]: stage["name"] for stage in pipeline["stages"]}
        return found | {value["id"]: value["label"] for value in self._all("/v1/picklists/source")}

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            page = self.call("GET", f"{path}?limit=100" + (f"&cursor={cursor}" if cursor else ""))
            yield from page["items"]
            cursor = page.get("next_cursor")

    def promote(self, model_id: str) -> None:
        """Make it the model that scores."""
        self.call("POST", f"/v1/scores/models/{model_id}/promote")

    def write(self, model: Mapping[str, Any], features: pl.DataFrame) -> dict[str, int]:
        """Score what is open, and write what changed."""
        artefact = self.call("GET", f"/v1/scores/models/{model['id']}/artefact")
        stored, digest = base64.b64decode(artefact["artefact"]), artefact["sha256"]
        scores = list(scores_of(stored, digest, features, names=self.names()))
        done = dict.fromkeys(("written", "unchanged", "held_out", "unknown"), 0)
        for start in range(0, len(scores), _CHUNK):
            body = {"model_id": model["id"], "scores": scores[start : start + _CHUNK]}
            answer = self.call("POST", "/v1/scores", body)
            done = {name: count + answer[name] for name, count in done.items()}
        return done
