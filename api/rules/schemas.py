"""Bodies of `/v1/rules`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.edge.fields import Instant, Name, body_like
from api.rules.document import DOCUMENT_EXAMPLE, Document, Mode


class RuleCreate(BaseModel):
    """A rule. It begins turned off, unless told otherwise."""

    model_config = body_like({"name": "Stalled deal", "document": DOCUMENT_EXAMPLE})

    name: Name
    mode: Mode = Mode.OFF
    document: Document


class RuleUpdate(BaseModel):
    """What to change; what is left out stays."""

    model_config = body_like({"mode": "live"})

    name: Name | None = None
    mode: Mode | None = None
    document: Document | None = None


class RuleRead(BaseModel):
    """A rule as it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    mode: Mode
    document: dict[str, Any]
    owner_id: UUID | None
    disabled_because: str | None = Field(description="Why Sluice turned it off, if it did: loop_depth, loop_self.")
    created_at: datetime
    updated_at: datetime


class RunRead(BaseModel):
    """One firing, and what came of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    rule_id: UUID
    rule_version: int
    mode: Mode
    key: str
    subject_type: str
    subject_id: UUID
    subject_title: str | None
    event_id: UUID | None
    fired_at: datetime
    created_at: datetime
    outcome: str = Field(
        description="done, no_change, would (dry-run and shadow), failed, loop_depth, loop_self, or skipped_off,"
        " skipped_stale, skipped_override, skipped_cool_down, skipped_quota."
    )
    detail: str | None
    actions: list[dict[str, Any]]
    facts: dict[str, Any] = Field(description="The values that the condition looked at.")
    score: float | None
    score_model: str | None


class TemplateRead(BaseModel):
    """A rule to begin with."""

    key: str
    name: str
    about: str
    document: dict[str, Any]
    fill_in: list[str] = Field(description="Where the values are examples, to be replaced.")


class ActionKindRead(BaseModel):
    """An action that a rule can have, and what it wants to know, as a JSON Schema."""

    name: str
    title: str
    subjects: list[str]
    parameters: dict[str, Any]


class Vocabulary(BaseModel):
    """What rules can be made of."""

    events: list[str]
    actions: list[ActionKindRead]
    deal_fields: list[str]


class BacktestAsk(BaseModel):
    """Which period to replay. Of a rule that is not saved, its document; of a score rule, another threshold."""

    model_config = body_like({"begins": "2026-01-01T00:00:00Z", "ends": "2026-02-01T00:00:00Z"})

    begins: Instant
    ends: Instant
    document: Document | None = None
    above: float | None = Field(default=None, gt=0, lt=1, description="Another threshold for a score rule.")


class WouldFire(BaseModel):
    """A firing that a rule would have had, and what became of the deal."""

    subject_type: str
    subject_id: UUID
    subject_title: str | None
    at: datetime
    event_id: UUID | None
    key: str
    facts: dict[str, Any]
    score: float | None
    status_now: str | None
    closed_at: datetime | None
    stage_id_then: UUID | None
    stage_id_now: UUID | None
    next_by_people: str | None = Field(description="The first thing that a person did about it afterwards.")
    next_by_people_at: datetime | None


class BacktestRead(BaseModel):
    """What a rule would have done in a period: the firings that a live run over the same events has."""

    events: int
    fired: int
    records: int
    won: int
    lost: int
    open: int
    others_won: int = Field(description="Of deals that existed in the period and on which it would not have fired.")
    others_lost: int
    firings: list[WouldFire] = Field(description="The first 1,000.")


class UndoItem(BaseModel):
    """Something that a rule did, and whether it can still be undone."""

    run_id: UUID
    subject_type: str
    subject_id: UUID
    subject_title: str | None
    fired_at: datetime
    rule_version: int
    do: str
    before: dict[str, Any]
    after: dict[str, Any]
    now: dict[str, Any]
    can_undo: bool = Field(description="Nobody changed it since.")


class NotificationRead(BaseModel):
    """Something a person should know."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    text: str
    rule_id: UUID | None
    subject_type: str | None
    subject_id: UUID | None
    created_at: datetime
    read_at: datetime | None
