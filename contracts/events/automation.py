"""Events of rules: who made them, what fired and what came of it; never a rule's name, which people write."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event


class RuleEvent(Event):
    """Any event of a rule."""

    aggregate_type: ClassVar[str] = "rule"
    topic: ClassVar[str] = "sluice.automation"


class _RuleState(RuleEvent):
    owner_id: UUID | None
    mode: str = Field(pattern="^(off|dry_run|shadow|live)$")
    trigger: str = Field(description="Kind of the trigger: event, schedule, score, time_in_stage, no_activity.")
    trigger_event: str | None = Field(description="The type of event that fires it, where one does.")
    actions: list[str] = Field(description="Kinds of its actions, in order.")


class RuleCreated(_RuleState):
    """A rule exists."""

    type: ClassVar[str] = "automation.rule.created"


class RuleUpdated(_RuleState):
    """A rule has another document or mode; its state after that."""

    type: ClassVar[str] = "automation.rule.updated"

    changed_fields: list[str]
    disabled_because: str | None = Field(description="Code of why it was turned off by the machine, if it was.")


class RuleRunEvent(Event):
    """Any event of one firing of a rule."""

    aggregate_type: ClassVar[str] = "rule_run"
    topic: ClassVar[str] = "sluice.automation"

    rule_id: UUID
    rule_version: int = Field(ge=1)
    mode: str = Field(pattern="^(dry_run|shadow|live)$")
    subject_type: str
    subject_id: UUID
    deal_id: UUID | None


class RuleTriggered(RuleRunEvent):
    """A rule fired: its trigger came about and its conditions held."""

    type: ClassVar[str] = "automation.rule.triggered"

    trigger: str
    event_id: UUID | None = Field(description="The event that fired it, where one did.")
    score: float | None = Field(description="The record's score at that instant.")
    score_model: str | None = Field(description="Version of the model that gave it.")


class TriggerExecuted(RuleRunEvent):
    """What came of a firing: the actions done, or why none was."""

    type: ClassVar[str] = "trigger.executed"

    outcome: str
    actions: list[str]
    from_stage_id: UUID | None
    to_stage_id: UUID | None
