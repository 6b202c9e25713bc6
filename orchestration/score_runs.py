"""Training and scoring as the clock does it, for one organization: what `./sluice score` does by hand, and no more work
than there is. What was scored is remembered by a digest of each open deal's features and of the model."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from contracts.warehouse import Mart, Part
from metrics.reader import Session
from models_ml.errors import ScoringError
from orchestration.publish import last_publication
from orchestration.scoring import FEATURES, HORIZON_DAYS, TIME, ScoresClient, is_better, learn, read_features

_DIGESTS = {"deal_id": pl.String, "digest": pl.String}


@dataclass(frozen=True)
class Training:
    """What came of training: `refusal` says why the model, if there is one, was not promoted."""

    organization_id: str
    number: int | None = None
    auc: float | None = None
    refusal: str | None = None


def train_for(client: ScoresClient, session: Session) -> Training:
    """Train, keep the model as a shadow, and promote it where it is no worse than the one that scores."""
    organization_id = client.organization_id
    try:
        trained = learn(read_features(session, organization_id), horizon_days=HORIZON_DAYS)
    except ScoringError as error:  # too few deals, say
        return Training(str(organization_id), refusal=str(error))
    present = client.present()
    model = client.keep(trained, data_version=str(session.version), horizon_days=HORIZON_DAYS)
    refusal = is_better(trained.card, present)
    if refusal is None:
        client.promote(model["id"])
    return Training(str(organization_id), model["number"], trained.card["auc"], refusal)


def score_changed(client: ScoresClient, session: Session, folder: Path) -> dict[str, int]:
    """Score the open deals whose features, or whose model, are others than when they were scored; what is remembered
    lies in `folder`."""
    organization_id, present = client.organization_id, client.present()
    if present is None:
        return {}
    features = read_features(session, organization_id, is_present=True)
    path = folder / f"{organization_id}.parquet"
    known = pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=_DIGESTS)
    changed, digests = changed_since(features, known, model_id=str(present["id"]))
    done = client.write(present, changed) if not changed.is_empty() else {}
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    digests.write_parquet(
        draft
    )  # only now: whoever is stopped before scores the same deals again, which changes nothing
    draft.replace(path)
    return {"open": len(digests), "changed": len(changed), **done}


def changed_since(features: pl.DataFrame, known: pl.DataFrame, *, model_id: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The open deals' rows of which `known` has another digest or none, and the digests of all open ones."""
    present = features.filter(pl.col("is_present"))
    digests = pl.DataFrame(
        {
            "deal_id": present["deal_id"].to_list(),
            "digest": [_digest(model_id, row) for row in present.select(TIME, *FEATURES).iter_rows()],
        },
        schema=_DIGESTS,
    )
    same = digests.join(known, on=["deal_id", "digest"], how="semi")
    return present.join(same, on="deal_id", how="anti"), digests


def _digest(model_id: str, row: tuple[Any, ...]) -> str:
    return sha256(repr((model_id, row)).encode()).hexdigest()


def features_version(warehouse_url: str) -> str | None:
    """The version in which features changed last, among those that are published."""
    published, mart = last_publication(warehouse_url), Mart.LEAD_FEATURES
    part = None if published is None else published.parts.get(str(Part(mart.group, mart.speed)))
    return str(part["version"]) if part else None
