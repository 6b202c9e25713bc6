"""What is known of campaigns, their recipients, and the touches of each.

draft ──▶ running ◀──▶ paused        running, paused ──▶ completed, cancelled

waiting ──▶ under_way ──▶ waiting … ──▶ ended          (excluded: never written to)
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from api.campaigns.document import Step
from api.kernel.changes import Change, Versioned
from contracts.channels import Channel


class CampaignState(StrEnum):
    """How a campaign stands."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class RecipientState(StrEnum):
    """How a recipient stands."""

    WAITING = "waiting"
    UNDER_WAY = "under_way"
    ENDED = "ended"
    EXCLUDED = "excluded"


class TouchState(StrEnum):
    """What became of one step for one recipient."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    HELD_OUT = "held_out"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Campaign(Versioned):
    """One campaign."""

    name: str
    state: CampaignState
    owner_id: UUID
    legal_basis: str | None = None
    basis_note: str | None = None
    view_id: UUID | None = None
    filter: list[Any]
    account_ids: list[UUID]
    steps: list[Any]
    hours: dict[str, Any]
    pace: dict[str, Any]
    stops_company: bool = True
    away_days: int = 7
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def sequence(self) -> list[Step]:
        """Its steps, read."""
        return [Step.model_validate(one) for one in self.steps]

    @property
    def channels(self) -> frozenset[Channel]:
        """Through what it writes."""
        return frozenset(step.channel for step in self.sequence if step.channel is not None)


@dataclass(frozen=True, kw_only=True)
class Recipient(Versioned):
    """One person of a campaign's audience; `step` is the place of the next step, `touch_id` the newest touch."""

    campaign_id: UUID
    contact_id: UUID
    company_id: UUID | None = None
    deal_id: UUID | None = None
    state: RecipientState
    ending: str | None = None
    reason: str | None = None
    step: int = 1
    due_at: datetime | None = None
    touch_id: UUID | None = None
    replied_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether anything may still go to them."""
        return self.state in (RecipientState.WAITING, RecipientState.UNDER_WAY)


@dataclass(frozen=True, kw_only=True)
class Touch:
    """One step for one recipient."""

    id: UUID
    created_at: datetime
    campaign_id: UUID
    recipient_id: UUID
    step: int
    variant: str
    state: TouchState
    channel: str | None = None
    account_id: UUID | None = None
    conversation_id: UUID | None = None
    message_id: UUID | None = None
    task_id: UUID | None = None
    failure: str | None = None
    sent_at: datetime | None = None


Changes = list[Change[Recipient] | Change[Touch] | Change[Campaign]]
