"""Events of activities: that people called, met or wrote a note, about which records; never what was said."""

from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.events.envelope import Event


class ActivityKind(StrEnum):
    """What people log."""

    NOTE = "note"
    CALL = "call"
    MEETING = "meeting"


class ActivityEvent(Event):
    """Any event of an activity: its state after it."""

    aggregate_type: ClassVar[str] = "activity"
    topic: ClassVar[str] = "sluice.activities"

    kind: ActivityKind
    author_id: UUID | None
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    took_place_at: AwareDatetime
    duration_seconds: int | None = Field(ge=0)
    direction: Literal["in", "out"] | None


class ActivityLogged(ActivityEvent):
    """Something was done with a customer, or noted."""

    type: ClassVar[str] = "activity.logged"


class ActivityUpdated(ActivityEvent):
    """What was logged is told otherwise; which fields changed (texts by name only)."""

    type: ClassVar[str] = "activity.updated"

    changed_fields: list[str]


class ActivityDeleted(ActivityEvent):
    """What was logged is taken back."""

    type: ClassVar[str] = "activity.deleted"


class ActivityRestored(ActivityEvent):
    """What was taken back counts again."""

    type: ClassVar[str] = "activity.restored"
