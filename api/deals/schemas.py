"""Bodies and answers of deals."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.edge.fields import CurrencyCode, CustomValues, Date, ExternalId, Instant, Label, MinorAmount, Name
from api.kernel.tags import Tags
from contracts.events.envelope import ActorKind, Envelope, Event
from contracts.stages import StageKind

_DEAL_ID = "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"
_STAGE_ID = "0192f0c0-9a8b-7c6d-8e4f-3a2b1c0d9e8f"
_PIPELINE_ID = "0192f0c0-1111-7c6d-8e4f-3a2b1c0d9e8f"

#: Said instead of an owner.
DISTRIBUTE = "distribute"

OccurredAt = Annotated[
    Instant | None,
    Field(
        description="When it was true, if not now. May lie in the past, not before the deal's creation.",
        examples=["2026-05-01T09:30:00Z"],
    ),
]


OverrideReason = Annotated[
    Label | None,
    Field(description="Why it may go on without fields that a stage asks for: managers and administrators only."),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DealCreate(_Body):
    """A new deal."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "pipeline_id": _PIPELINE_ID,
                    "title": "400 seats for Acme",
                    "amount_minor": 1250000,
                    "currency": "EUR",
                    "source": "Website",
                    "close_date": "2026-09-30",
                }
            ]
        }
    )

    pipeline_id: UUID
    stage_id: UUID | None = Field(default=None, description="An open stage; default the pipeline's first.")
    title: Name
    amount_minor: MinorAmount | None = None
    currency: CurrencyCode | None = Field(default=None, description="Default the organization's.")
    owner_id: UUID | Literal["distribute"] | None = Field(
        default=None,
        description="A user, `null` for nobody, or `distribute` for whom the rules of distribution choose. Left out:"
        " whom an automatic rule of distribution chooses, else the caller.",
    )
    company_id: UUID | None = None
    contact_id: UUID | None = None
    source: Label | None = None
    close_date: Date | None = Field(default=None, description="Day on which it is expected to close.")
    external_id: ExternalId | None = Field(default=None, description="Its id in another system, unique here.")
    tags: Tags = []
    custom: CustomValues = {}
    occurred_at: OccurredAt = None


class DealUpdate(_Body):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount_minor": 1400000, "close_date": "2026-10-15"}]})

    title: Name | None = None
    amount_minor: MinorAmount | None = None
    currency: CurrencyCode | None = None
    owner_id: UUID | None = None
    company_id: UUID | None = None
    contact_id: UUID | None = None
    source: Label | None = None
    close_date: Date | None = None
    tags: Tags = []
    custom: CustomValues = {}
    occurred_at: OccurredAt = None

    @model_validator(mode="after")
    def _keep_what_a_deal_must_have(self) -> Self:
        for name in ("title", "currency"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class DealMove(_Body):
    """A move to another stage of the deal's pipeline. Into a won or lost stage it is a win or a loss."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"stage_id": _STAGE_ID}]})

    stage_id: UUID
    occurred_at: OccurredAt = None
    reason: Label | None = Field(default=None, description="Why it was lost; required into a lost stage.")
    override_reason: OverrideReason = None


class DealWin(_Body):
    """A win, into the pipeline's first won stage."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"occurred_at": "2026-05-01T09:30:00Z"}]})

    occurred_at: OccurredAt = None
    override_reason: OverrideReason = None


class DealLose(_Body):
    """A loss, into the pipeline's first lost stage."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Price"}]})

    reason: Label
    occurred_at: OccurredAt = None


class DealReopen(_Body):
    """Open a closed deal again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"stage_id": _STAGE_ID}]})

    stage_id: UUID | None = Field(default=None, description="An open stage; default the one it was closed from.")
    occurred_at: OccurredAt = None


class DealRead(BaseModel):
    """A deal as it stands."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": _DEAL_ID,
                    "version": 3,
                    "pipeline_id": _PIPELINE_ID,
                    "stage_id": _STAGE_ID,
                    "stage_entered_at": "2026-05-01T09:30:00Z",
                    "is_rotting": False,
                    "status": "open",
                    "title": "400 seats for Acme",
                    "amount_minor": 1250000,
                    "currency": "EUR",
                    "has_lines": False,
                    "owner_id": None,
                    "company_id": None,
                    "contact_id": None,
                    "source": "Website",
                    "close_date": "2026-09-30",
                    "lost_reason": None,
                    "closed_at": None,
                    "external_id": None,
                    "tags": ["renewal"],
                    "custom": {},
                    "created_at": "2026-04-20T08:00:00Z",
                    "updated_at": "2026-05-01T09:30:02Z",
                }
            ]
        },
    )

    id: UUID
    version: int
    pipeline_id: UUID
    stage_id: UUID
    stage_entered_at: datetime
    is_rotting: bool = Field(description="Whether it is open and in its stage for longer than the stage's target days.")
    status: StageKind
    title: str
    amount_minor: int | None
    currency: str
    has_lines: bool = Field(description="Whether it has line items: then its amount is their sum, and read-only.")
    owner_id: UUID | None
    company_id: UUID | None
    contact_id: UUID | None
    source: str | None
    close_date: date | None
    lost_reason: str | None
    closed_at: datetime | None
    external_id: str | None
    tags: list[str]
    custom: dict[str, Any]
    created_at: datetime = Field(description="When the deal began, which may be backdated.")
    updated_at: datetime = Field(description="When it was last written to.")


class RuleAtWork(BaseModel):
    """The firing of a rule that led to an event: which version, on what, and what its condition saw."""

    id: UUID
    name: str
    version: int
    event_id: UUID | None = Field(description="The event that set it off; null where time did.")
    fired_at: datetime
    facts: dict[str, Any]
    score: float | None
    score_model: str | None


class DealHistoryEntry(BaseModel):
    """One event of a deal. `changes` holds the event's own facts, ids as stored and picklist values by label."""

    event_id: UUID
    version: int = Field(description="The deal's version after this event.")
    type: str = Field(examples=["deal.stage.changed"])
    occurred_at: datetime = Field(description="When it was true.")
    recorded_at: datetime = Field(description="When Sluice learned it.")
    actor: ActorKind
    actor_id: UUID | None
    correlation_id: UUID
    from_stage_id: UUID | None = Field(description="The stage the deal was in at `occurred_at`, as known then.")
    to_stage_id: UUID | None = Field(description="The stage entered; null when the event enters none.")
    changes: dict[str, Any]
    rule: RuleAtWork | None = Field(default=None, description="Why it happened, where a rule did it.")


#: Facts that are picklist values, and the names under which their labels are answered.
_LABELLED = {"source_id": "source", "lost_reason_id": "lost_reason"}


def deal_answer(row: Mapping[str, Any]) -> DealRead:
    """A deal from its row as it is shown."""
    return DealRead.model_validate(row)


def history_answers(
    history: Iterable[Envelope[Event]], labels: Mapping[UUID, str], firings: Mapping[UUID, Any]
) -> list[DealHistoryEntry]:
    """A deal's events, in the order in which they were true; values by label, a rule's deeds with its firing."""
    ordered = sorted(history, key=lambda one: (one.occurred_at, one.aggregate_version))
    return [_entry(envelope, labels, firings) for envelope in ordered]


def _entry(envelope: Envelope[Event], labels: Mapping[UUID, str], firings: Mapping[UUID, Any]) -> DealHistoryEntry:
    facts = envelope.data.model_dump(mode="json")
    changes = {name: value for name, value in facts.items() if name not in ("from_stage_id", "to_stage_id")}
    for column, name in _LABELLED.items():
        if column in changes:
            value = changes.pop(column)
            changes[name] = None if value is None else labels.get(UUID(value))
    return DealHistoryEntry(
        event_id=envelope.id,
        version=envelope.aggregate_version,
        type=envelope.type,
        occurred_at=envelope.occurred_at,
        recorded_at=envelope.recorded_at,
        actor=envelope.actor,
        actor_id=envelope.actor_id,
        correlation_id=envelope.correlation_id,
        from_stage_id=facts.get("from_stage_id"),
        to_stage_id=facts.get("to_stage_id"),
        changes=changes,
        rule=_at_work(firings.get(envelope.causation_id)) if envelope.causation_id else None,
    )


def _at_work(firing: Any) -> RuleAtWork | None:  # noqa: ANN401 # a row
    if firing is None:
        return None
    names = ("name", "event_id", "fired_at", "facts", "score", "score_model")
    known = {name: getattr(firing, name) for name in names}
    return RuleAtWork(id=firing.rule_id, version=firing.rule_version, **known)
