"""Training and scoring as the clock does it, for one organization: what `./sluice score` does by hand, and no more work
than there is. What was scored is remembered by a digest of each open record's features and of the model."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import polars as pl

from contracts.warehouse import Part
from metrics.session import Session
from models_ml.errors import ScoringError
from orchestration.publish import last_publication
from orchestration.scores_client import ScoresClient
from orchestration.scoring import (
    DEALS,
    HORIZON_DAYS,
    SUBJECTS,
    TIME,
    Subject,
    changed_ids,
    is_better,
    known_through,
    learn,
    read_features,
)

#: What a long transaction commits late was recorded before things that were known already.
_LATE = timedelta(minutes=15)
#: So often everything is compared, whatever is known to have changed.
_WHOLE = timedelta(hours=1)


@dataclass(frozen=True)
class Training:
    """What came of training: `refusal` says why the model, if there is one, was not promoted."""

    organization_id: str
    subject: str
    number: int | None = None
    auc: float | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class _Remembered:
    """What is known of the last run: digests by id, of which model, up to when, and when all was compared."""

    digests: pl.DataFrame
    model_id: str | None = None
    through: datetime | None = None
    whole_at: datetime | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """What lies there; nothing where that cannot be read, so that everything is looked at."""
        empty = pl.DataFrame(schema={"id": pl.String, "digest": pl.String})
        try:
            told = json.loads(path.with_suffix(".json").read_text())
            through, whole_at = (datetime.fromisoformat(told[name]) for name in ("through", "whole_at"))
            return cls(pl.read_parquet(path), told["model_id"], through, whole_at)
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
            try:
                return cls(pl.read_parquet(path).select("id", "digest"))
            except (OSError, pl.exceptions.PolarsError):
                return cls(empty)

    def keep(self, path: Path) -> None:
        """Remember it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft, told = path.with_suffix(".new"), path.with_suffix(".json")
        told.unlink(missing_ok=True)  # half of it is nothing
        self.digests.write_parquet(draft)
        draft.replace(path)
        if self.through is not None and self.whole_at is not None:
            known = {"model_id": self.model_id, "through": str(self.through), "whole_at": str(self.whole_at)}
            draft.write_text(json.dumps(known))
            draft.replace(told)


def train_for(client: ScoresClient, session: Session, subject: Subject = DEALS) -> Training:
    """Train, keep the model as a shadow, and promote it where it is no worse than the one that scores."""
    organization_id = client.organization_id
    try:
        trained = learn(read_features(session, organization_id, subject), subject, horizon_days=HORIZON_DAYS)
    except ScoringError as error:  # too few deals, say
        return Training(str(organization_id), subject.name, refusal=str(error))
    present = client.present(subject)
    model = client.keep(trained, subject, data_version=str(session.version), horizon_days=HORIZON_DAYS)
    refusal = is_better(trained.card, present)
    if refusal is None:
        client.promote(model["id"])
    return Training(str(organization_id), subject.name, model["number"], trained.card["auc"], refusal)


def score_changed(
    client: ScoresClient, session: Session, folder: Path, subject: Subject = DEALS, *, now: datetime
) -> dict[str, int]:
    """Score the open records whose features, or whose model, are others than when they were scored; what is remembered
    lies in `folder`. It costs as much as has changed; once an hour, and for a new model, everything is compared."""
    organization_id, present = client.organization_id, client.present(subject)
    if present is None:
        return {}
    model_id, path = str(present["id"]), folder / f"{organization_id}.{subject.name}.parquet"
    known = _Remembered.read(path)
    through = known_through(session, organization_id, subject) if subject.known_by else None
    ids = _touched(session, organization_id, subject, known, model_id=model_id, now=now)
    features = read_features(session, organization_id, subject, is_present=True, ids=ids)
    changed, digests = changed_since(features, known.digests, subject, model_id=model_id, looked_at=ids)
    done = client.write(present, changed, subject) if not changed.is_empty() else {}
    # only now: whoever is stopped before scores the same deals again, which changes nothing
    _Remembered(digests, model_id, through, now if ids is None else known.whole_at).keep(path)
    return {"open": len(digests), "looked_at": len(features), "changed": len(changed), **done}


def _touched(
    session: Session, organization_id: UUID, subject: Subject, known: _Remembered, *, model_id: str, now: datetime
) -> list[UUID] | None:
    """Of what something was learned since the last run; None where all has to be looked at."""
    if known.through is None or known.whole_at is None or known.model_id != model_id:
        return None
    if now - known.whole_at >= _WHOLE:
        return None
    return changed_ids(session, organization_id, subject, since=known.through - _LATE)


def changed_since(
    features: pl.DataFrame,
    known: pl.DataFrame,
    subject: Subject = DEALS,
    *,
    model_id: str,
    looked_at: list[UUID] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The open records' rows of which `known` has another digest or none, and the digests of all open ones.

    `features` are of those that were `looked_at` (None: of all); of others stays what is known.
    """
    present = features.filter(pl.col("is_present"))
    digests = pl.DataFrame(
        {
            "id": present[subject.id].to_list(),
            "digest": [_digest(model_id, row) for row in present.select(TIME, *subject.features).iter_rows()],
        },
        schema={"id": pl.String, "digest": pl.String},
    )
    same = digests.join(known, on=["id", "digest"], how="semi")
    changed = present.join(same, left_on=subject.id, right_on="id", how="anti")
    if looked_at is not None:
        others = known.filter(~pl.col("id").is_in([str(one) for one in looked_at]))
        digests = pl.concat([others, digests])
    return changed, digests


def _digest(model_id: str, row: tuple[Any, ...]) -> str:
    return sha256(repr((model_id, row)).encode()).hexdigest()


def features_version(warehouse_url: str) -> str | None:
    """The versions in which features changed last, among those that are published."""
    published = last_publication(warehouse_url)
    if published is None:
        return None
    parts = [published.parts.get(str(Part(one.mart.group, one.mart.speed))) for one in SUBJECTS.values()]
    found = [str(part["version"]) for part in parts if part]
    return " ".join(found) or None
