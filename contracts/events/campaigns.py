"""Events of campaigns and of whom they write to: ids, places and instants; never a word of what is written.

A campaign's own events say how it stands. What happens to one recipient is an aggregate of its own, so that thousands
are written to at once; a touch is one step for one recipient.
"""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.channels import Channel
from contracts.events.envelope import Event


class LegalBasis(StrEnum):
    """On what ground people are written to."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGITIMATE_INTEREST = "legitimate_interest"


class Ending(StrEnum):
    """Why a recipient gets nothing more."""

    COMPLETED = "completed"
    REPLIED = "replied"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    FAILED = "failed"
    STOPPED = "stopped"


class CampaignEvent(Event):
    """Any event of a campaign."""

    aggregate_type: ClassVar[str] = "campaign"
    topic: ClassVar[str] = "sluice.campaigns"


class CampaignCreated(CampaignEvent):
    """Somebody began to build it."""

    type: ClassVar[str] = "campaign.created"

    owner_id: UUID


class CampaignUpdated(CampaignEvent):
    """Somebody changed it before it started."""

    type: ClassVar[str] = "campaign.updated"

    changed_fields: list[str]


class CampaignStarted(CampaignEvent):
    """It began to write to people."""

    type: ClassVar[str] = "campaign.started"

    owner_id: UUID
    legal_basis: LegalBasis
    steps: int = Field(ge=1)
    recipients: int = Field(ge=0)
    excluded: int = Field(ge=0, description="People of its audience who must not, or cannot, be written to.")


class CampaignPaused(CampaignEvent):
    """It writes to nobody until it goes on."""

    type: ClassVar[str] = "campaign.paused"


class CampaignResumed(CampaignEvent):
    """It goes on."""

    type: ClassVar[str] = "campaign.resumed"


class CampaignCancelled(CampaignEvent):
    """Somebody ended it."""

    type: ClassVar[str] = "campaign.cancelled"


class CampaignCompleted(CampaignEvent):
    """Nobody is left to be written to."""

    type: ClassVar[str] = "campaign.completed"


class RecipientEvent(Event):
    """Any event of one recipient of a campaign."""

    aggregate_type: ClassVar[str] = "campaign_recipient"
    topic: ClassVar[str] = "sluice.campaigns"

    campaign_id: UUID


class RecipientEnrolled(RecipientEvent):
    """Somebody is to go through its steps."""

    type: ClassVar[str] = "campaign.recipient.enrolled"

    contact_id: UUID
    company_id: UUID | None
    deal_id: UUID | None = Field(description="Their newest open deal.")
    owner_id: UUID | None = Field(description="Whose campaign it is.")


class RecipientPostponed(RecipientEvent):
    """They are away: the next step waits."""

    type: ClassVar[str] = "campaign.recipient.postponed"

    until_days: int


class TouchEvent(RecipientEvent):
    """Any event of one step for one recipient."""

    touch_id: UUID
    step: int = Field(ge=1, description="Its place in the sequence, from 1.")


class StepAssigned(TouchEvent):
    """The step's turn has come: a variant was drawn, or they are held out of it."""

    type: ClassVar[str] = "campaign.step.assigned"

    contact_id: UUID
    deal_id: UUID | None
    owner_id: UUID | None
    channel: Channel | None = Field(description="None: a task for a person.")
    variant: str = Field(description="A, B, … by their order, or `held_out`.")
    is_held_out: bool


class StepSent(TouchEvent):
    """The provider took it, or its task stands in somebody's list."""

    type: ClassVar[str] = "campaign.step.sent"

    message_id: UUID | None
    task_id: UUID | None


class StepFailed(TouchEvent):
    """It did not reach them, or nobody knows (`is_unknown`)."""

    type: ClassVar[str] = "campaign.step.failed"

    reason: str
    is_unknown: bool


class RecipientReplied(RecipientEvent):
    """They wrote, after a step."""

    type: ClassVar[str] = "campaign.replied"

    touch_id: UUID | None = Field(description="The newest step before it.")
    message_id: UUID


class RecipientUnsubscribed(RecipientEvent):
    """They want no more, of any campaign."""

    type: ClassVar[str] = "campaign.unsubscribed"

    touch_id: UUID | None
    how: str = Field(description="one_click, reply or suppressed.")


class RecipientFinished(RecipientEvent):
    """They get nothing more of this campaign."""

    type: ClassVar[str] = "campaign.recipient.finished"

    ending: Ending
