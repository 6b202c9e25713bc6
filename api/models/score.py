"""Models that score deals or contacts, and the scores that they gave."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Float
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import TenantRow


class ScoreModel(TenantRow):
    """A trained model with its card. The artefact is text (base64), and opened by nobody but the scoring."""

    __tablename__ = "score_models"

    number: Mapped[int] = mapped_column(BigInteger)
    subject: Mapped[str]
    state: Mapped[str]
    artefact: Mapped[str]
    sha256: Mapped[str]
    card: Mapped[dict[str, Any]] = mapped_column(JSONB)
    data_version: Mapped[str]
    code_version: Mapped[str]
    horizon_days: Mapped[int] = mapped_column(BigInteger)
    promoted_at: Mapped[datetime | None]


class Score(TenantRow):
    """What a model said of a deal or a contact as of an instant; never changed."""

    __tablename__ = "scores"

    deal_id: Mapped[UUID | None]
    contact_id: Mapped[UUID | None]
    model_id: Mapped[UUID]
    score: Mapped[float] = mapped_column(Float)
    reasons: Mapped[list[Any]] = mapped_column(JSONB)
    scored_at: Mapped[datetime]
