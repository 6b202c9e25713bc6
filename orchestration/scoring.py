"""Scores of deals and leads: learn from their features as published, score what is open.

Each teaches once, at one of its instants that chance picked: rows of one deal in past and future would be remembered.
It was won (a lead: converted) if that came within the horizon after the instant; before the horizon is over, what is
open stays open.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import polars as pl

from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.session import Session
from models_ml.card import Card
from models_ml.columns import Column, columns_of
from models_ml.errors import ScoringError
from models_ml.model import Model
from models_ml.outcome import read_outcome
from models_ml.scoring import Reason, explain, score
from models_ml.training import Settings, Trained, features_of, train

HORIZON_DAYS = 90
TIME = "scored_at"
_NUMBERS = frozenset({"amount_minor", "moves", "changes", "messages_in", "messages_out", "calls", "meetings", "notes"})


@dataclass(frozen=True)
class Subject:
    """What has scores: its mart, what a model may read of that, which outcome is the one to hope for."""

    name: str
    noun: str
    mart: Mart
    success: str
    features: tuple[str, ...]
    monotone: Mapping[str, int]
    #: Marts whose rows say since when something else is known of it.
    known_by: tuple[Mart, ...] = ()

    @property
    def id(self) -> str:
        """Column of its id."""
        return f"{self.name}_id"

    @property
    def about(self) -> tuple[str, ...]:
        """Columns of the mart that are no features."""
        return (self.id, TIME, "is_present", "outcome", "outcome_at")


DEALS = Subject(
    "deal",
    "deal",
    Mart.LEAD_FEATURES,
    "won",
    (
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
    ),
    {"days_in_stage": -1},  # one that has gone stale is not more likely for it
    (Mart.FCT_STAGE_ENTRIES, Mart.FCT_DEAL_VERSIONS),
)
#: A contact that no deal names yet. It converts when one does.
CONTACTS = Subject(
    "contact",
    "lead",
    Mart.FCT_LEAD_MOMENTS,
    "converted",
    (
        "source_id",
        "has_company",
        "messages_in",
        "messages_out",
        "calls",
        "meetings",
        "notes",
        "changes",
        "days_since_created",
        "days_since_touched",
    ),
    {},
)
SUBJECTS = {subject.name: subject for subject in (DEALS, CONTACTS)}


def read_features(
    session: Session,
    organization_id: UUID,
    subject: Subject = DEALS,
    *,
    is_present: bool = False,
    ids: Sequence[UUID] | None = None,
) -> pl.DataFrame:
    """An organization's rows of the mart, in one order; only those of what is open as it is, if `is_present`, and of
    some, if `ids`."""
    columns = (*subject.about, *subject.features)
    statement = Statement(session.dialect, organization_id)
    conditions = ["is_present"] if is_present else []
    if ids is not None:
        conditions.append(statement.any_of(subject.id, sorted(ids)))
    statement.mart("features", subject.mart, columns=", ".join(columns), conditions=conditions)
    rows = session.fetch(statement.compile(f"select * from features order by {subject.id}, scored_at"))
    series = [_series(name, [row[place] for row in rows]) for place, name in enumerate(columns)]
    return pl.DataFrame(series)


def changed_ids(session: Session, organization_id: UUID, subject: Subject, *, since: datetime) -> list[UUID]:
    """Of what something else is known since an instant, as far as the subject's marts say."""
    statement = Statement(session.dialect, organization_id)
    bound = statement.bind(since, "timestamptz")
    for number, mart in enumerate(subject.known_by):
        conditions = [f"(known_from >= {bound} or known_to >= {bound})"]
        statement.mart(f"known_{number}", mart, columns=subject.id, conditions=conditions)
    parts = [f"select {subject.id} from known_{number}" for number in range(len(subject.known_by))]
    return [row[0] for row in session.fetch(statement.compile(" union ".join(parts)))]


def known_through(session: Session, organization_id: UUID, subject: Subject) -> datetime | None:
    """Up to which instant the subject's marts know of an organization; None where they know nothing."""
    statement = Statement(session.dialect, organization_id)
    for number, mart in enumerate(subject.known_by):
        statement.mart(f"known_{number}", mart, columns="known_from, known_to")
    parts = [f"select greatest(known_from, known_to) as newest from known_{n}" for n in range(len(subject.known_by))]
    [[newest]] = session.fetch(statement.compile(f"select max(newest) from ({' union all '.join(parts)}) as known"))
    return newest if isinstance(newest, datetime) else None


def _series(name: str, values: list[Any]) -> pl.Series:
    if name in (TIME, "outcome_at"):
        return pl.Series(name, values, pl.Datetime("us", "UTC"))
    if name in _NUMBERS or name.startswith("days_"):
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    if name.startswith(("is_", "has_")):
        return pl.Series(name, values, pl.Boolean)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


def teaching_rows(
    features: pl.DataFrame, subject: Subject = DEALS, *, horizon_days: int = HORIZON_DAYS
) -> pl.DataFrame:
    """One row per deal or lead, with `won`: yes or no within the horizon, null while that is open."""
    if features.is_empty():
        raise ScoringError(
            f"No {subject.noun} is in the warehouse yet; scores need some that were {subject.success} and some not."
        )
    known_until: datetime = max(features[TIME].max(), features["outcome_at"].max() or features[TIME].max())  # type: ignore[type-var,assignment]
    horizon = timedelta(days=horizon_days)
    picked = features.with_columns(
        luck=pl.concat_str(pl.col(subject.id), pl.col(TIME).cast(pl.String)).map_elements(_luck, return_dtype=pl.Int64)
    )
    one = picked.sort(subject.id, "luck").unique(subject.id, keep="first", maintain_order=True).drop("luck")
    in_time = pl.col("outcome_at") - pl.col(TIME) <= horizon
    over = (pl.lit(known_until) - pl.col(TIME) > horizon) | pl.col("outcome").is_not_null()
    won = (
        pl.when((pl.col("outcome") == subject.success) & in_time)
        .then(pl.lit("yes"))
        .when(over)
        .then(pl.lit("no"))
        .otherwise(pl.lit(None, pl.String))
    )
    return one.with_columns(won=won).sort(TIME, subject.id)


def _luck(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:7])


def learn(features: pl.DataFrame, subject: Subject = DEALS, *, horizon_days: int = HORIZON_DAYS) -> Trained:
    """A model of an organization's deals or leads, and its card."""
    rows = teaching_rows(features, subject, horizon_days=horizon_days)
    settings = Settings(time=TIME, monotone=subject.monotone)
    return train(columns_of(rows.select(TIME, *subject.features)), read_outcome("won", rows["won"]), settings)


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
    model: Model, features: pl.DataFrame, subject: Subject = DEALS, *, names: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """A score with reasons for each record that is open, as of its last change; `names` are of stages, say."""
    present = features.filter(pl.col("is_present"))
    if present.is_empty():
        return
    columns = columns_of(present.select(TIME, *subject.features))
    time = next(column for column in columns if column.name == TIME)
    read: dict[str, Column] = features_of(columns, time)
    rows = zip(present[subject.id], present[TIME], score(model, read), explain(model, read), strict=True)
    for subject_id, scored_at, probability, reasons in rows:
        shown = [{"column": one.column, "words": _words(one, names), "effect": one.effect} for one in reasons]
        yield {
            subject.id: subject_id,
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
