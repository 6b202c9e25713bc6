"""Bodies of models and scores."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.edge.fields import Instant, Real, Whole, body_like

Subject = Literal["deal", "contact"]
State = Literal["shadow", "promoted", "retired"]
_Text = Annotated[str, Field(min_length=1, max_length=100)]


_ID = "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"
_SCORES_EXAMPLE = {
    "model_id": _ID,
    "scores": [{"deal_id": _ID, "score": 0.71, "scored_at": "2026-05-01T09:30:00Z"}],
}
_MODEL_EXAMPLE = {
    "artefact": "gASV…",
    "sha256": "0" * 64,
    "card": {"verdict": "published", "reasons": []},
    "data_version": "20260501T093000000000Z",
    "code_version": "1",
    "horizon_days": 90,
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CardGiven(BaseModel):
    """What a card must say; the rest of it is kept and shown as it is."""

    model_config = ConfigDict(extra="allow")

    verdict: Literal["published", "abstains"]
    reasons: list[str]


class ScoreModelCreate(_Body):
    """A trained model."""

    model_config = body_like(_MODEL_EXAMPLE)

    subject: Annotated[Subject, Field(description="What it scores.")] = "deal"
    artefact: Annotated[str, Field(max_length=20_000_000, description="The stored model, base64.")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Hash of the stored model.")]
    card: CardGiven
    data_version: _Text
    code_version: _Text
    horizon_days: Annotated[Whole, Field(ge=1, le=3650)]


class ScoreModelRead(BaseModel):
    """A model with its card."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: int
    subject: Subject
    state: State
    sha256: str
    card: dict[str, Any]
    data_version: str
    code_version: str
    horizon_days: int
    created_at: datetime
    promoted_at: datetime | None


class ScoreModelList(BaseModel):
    """Models, the newest first."""

    items: list[ScoreModelRead]


class ArtefactRead(BaseModel):
    """A stored model."""

    model_config = ConfigDict(from_attributes=True)

    artefact: str
    sha256: str


class ReasonGiven(_Body):
    """What moved a score: in words, and by how much of the log-odds."""

    column: _Text
    words: Annotated[str, Field(max_length=300)]
    effect: Annotated[Real, Field(allow_inf_nan=False)]


class ScoreGiven(_Body):
    """The score of one deal or of one contact."""

    deal_id: UUID | None = None
    contact_id: UUID | None = None
    score: Annotated[Real, Field(ge=0, le=1, allow_inf_nan=False)]
    reasons: Annotated[list[ReasonGiven], Field(max_length=20)] = []
    scored_at: Annotated[Instant, Field(description="The instant whose facts it was made of.")]

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.deal_id is None) is (self.contact_id is None):
            raise ValueError("must name either deal_id or contact_id")
        return self

    @property
    def subject_id(self) -> UUID:
        """Of what it is the score."""
        found = self.deal_id or self.contact_id
        assert found is not None  # noqa: S101  # for the type checker
        return found


class ScoresCreate(_Body):
    """Scores of the promoted model."""

    model_config = body_like(_SCORES_EXAMPLE)

    model_id: UUID
    scores: Annotated[list[ScoreGiven], Field(min_length=1, max_length=1000)]


class ScoresWritten(BaseModel):
    """What became of them."""

    written: int
    unchanged: int = Field(description="The same as the newest score of that deal or contact by that model.")
    held_out: int = Field(description="In the random slice that has no scores.")
    unknown: int = Field(description="Of what is not there any more.")


class ScoreRead(BaseModel):
    """A score of a deal or a contact."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    deal_id: UUID | None
    contact_id: UUID | None
    title: str = Field(description="The deal's title, or the contact's name.")
    owner_id: UUID | None
    stage_id: UUID | None
    amount_minor: int | None
    currency: str | None
    model_id: UUID
    model_number: int
    horizon_days: int
    score: float
    reasons: list[dict[str, Any]]
    scored_at: datetime


class ScoreList(BaseModel):
    """Scores."""

    items: list[ScoreRead]
