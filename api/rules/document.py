"""A rule as a person writes it: checked whole when it is saved, so that a firing fails for the record's sake alone."""

import re
from datetime import time
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from api.edge.fields import Flag, Real, Whole, body_like
from api.kernel.actions import ActionKind, action_kinds
from contracts.events.envelope import Event
from contracts.events.registry import EVENTS

_NO_SECONDS = re.compile(r"^([01]\d|2[0-3]):[0-5]\d$")
#: What fires a rule must not be what rules are about.
_OWN = "automation."
#: What templates name where a stage or a person is to be chosen.
EXAMPLE_ID = UUID(int=0)
EVENT_TYPES = frozenset(kind for kind, _ in EVENTS)
Weekday = Annotated[int, Field(ge=1, le=7, description="1 is Monday.")]


DOCUMENT_EXAMPLE = {
    "trigger": {"kind": "time_in_stage", "days": 14},
    "actions": [{"do": "task.create", "with": {"title": "Move this deal on", "due_in_days": 1.0, "assignee": "owner"}}],
}


class Mode(StrEnum):
    """How far a rule goes. Dry-run logs what it would do, shadow tells the warehouse too; neither does it."""

    OFF = "off"
    DRY_RUN = "dry_run"
    SHADOW = "shadow"
    LIVE = "live"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OnEvent(_Part):
    """An event of a type."""

    kind: Literal["event"] = "event"
    event: str = Field(examples=["deal.stage.changed"])

    @model_validator(mode="after")
    def _known(self) -> "OnEvent":
        if self.event not in EVENT_TYPES or self.event.startswith((_OWN, "trigger.")):
            known = ", ".join(sorted(one for one in EVENT_TYPES if not one.startswith((_OWN, "trigger."))))
            raise ValueError(f"there is no event {self.event!r} that a rule can wait for; there are {known}")
        return self


class OnScore(_Part):
    """A deal's or a contact's score reaches a threshold. It counts again only after it was below by `hysteresis`."""

    kind: Literal["score"] = "score"
    subject: Literal["deal", "contact"] = "deal"
    above: Real = Field(gt=0, lt=1)
    hysteresis: Real = Field(default=0.05, ge=0, lt=1)


class OnTimeInStage(_Part):
    """A deal stands in a stage (None: any open one) for so many days; once per stay."""

    kind: Literal["time_in_stage"] = "time_in_stage"
    days: Real = Field(gt=0, le=3650)
    stage_id: UUID | None = None


class OnNoActivity(_Part):
    """Nobody did anything about an open deal for so many days; once per silence. What rules do is no activity."""

    kind: Literal["no_activity"] = "no_activity"
    days: Real = Field(gt=0, le=3650)


class OnSchedule(_Part):
    """Every such day at that time of the organization, for each open deal that meets the condition."""

    kind: Literal["schedule"] = "schedule"
    at: str = Field(pattern=_NO_SECONDS.pattern, examples=["09:00"])
    weekdays: list[Weekday] = Field(default=[1, 2, 3, 4, 5, 6, 7], min_length=1)


Trigger = Annotated[OnEvent | OnScore | OnTimeInStage | OnNoActivity | OnSchedule, Field(discriminator="kind")]
TIMED = ("time_in_stage", "no_activity", "schedule")


class Action(_Part):
    """What to do: a kind of action, and what that kind wants to know."""

    do: str = Field(examples=["deal.assign"])
    with_: dict[str, Any] = Field(default={}, alias="with")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @property
    def kind(self) -> ActionKind:
        """What is declared of it."""
        return action_kinds()[self.do]

    @property
    def parameters(self) -> Any:  # noqa: ANN401 # the kind's own
        """What it is told."""
        return self.kind.parameters.model_validate(self.with_)

    @model_validator(mode="after")
    def _known(self) -> "Action":
        if self.do not in action_kinds():
            raise ValueError(f"there is no action {self.do!r}; there are {', '.join(sorted(action_kinds()))}")
        try:
            self.kind.parameters.model_validate(self.with_)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'with'}: {one['msg']}" for one in error.errors())
            raise ValueError(f"{self.do} cannot be done so: {problems}") from error
        return self


class Window(_Part):
    """When a rule may act, in the organization's time; outside of it, it does not."""

    weekdays: list[Weekday] = Field(default=[1, 2, 3, 4, 5], min_length=1)
    begins: str = Field(default="09:00", pattern=_NO_SECONDS.pattern)
    ends: str = Field(default="18:00", pattern=_NO_SECONDS.pattern)

    @property
    def hours(self) -> tuple[time, time]:
        """From when, and until before when."""
        return time.fromisoformat(self.begins), time.fromisoformat(self.ends)


class Figure(_Part):
    """A figure of a metric for the whole organization, of the last `days` unless its parameters say from when."""

    metric: str = Field(examples=["win_rate"])
    figure: str = Field(examples=["win_rate"])
    parameters: dict[str, str] = Field(default={}, max_length=20)
    group: str | None = Field(default=None, description="The group of the answer, with a group_by.")
    days: Whole = Field(default=90, ge=1, le=3650)


class Document(_Part):
    """What sets a rule off, on which condition, and what it then does."""

    model_config = body_like(DOCUMENT_EXAMPLE)

    trigger: Trigger
    when: str = Field(default="", max_length=2_000, description="A condition in CEL; empty: always.")
    metrics: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], Figure] = Field(
        default={}, max_length=5, description="Figures that the condition names as metric.<name>."
    )
    actions: list[Action] = Field(min_length=1, max_length=10)
    debounce_minutes: Real = Field(
        default=0,
        ge=0,
        le=1_440,
        description="Of several events in a row on a record the last counts, once none followed it for so long.",
    )
    cool_down_hours: Real = Field(default=0, ge=0, le=8760, description="Not again on the same record for so long.")
    most_per_hour: Whole = Field(default=1_000, ge=1, le=100_000, description="More firings are only logged.")
    hold_days: Real = Field(
        default=30, ge=0, le=3650, description="How long a person's word holds after they undid what the rule did."
    )
    window: Window | None = None
    on_imports: Flag = Field(default=False, description="Whether it also fires on what imports bring.")

    @model_validator(mode="after")
    def _storable(self) -> "Document":
        if "\\u0000" in self.model_dump_json():
            raise ValueError("must not contain NUL characters")
        return self

    @model_validator(mode="after")
    def _fits(self) -> "Document":
        if self.waits and self.trigger.kind in TIMED:
            raise ValueError("only a rule that waits for events can have debounce_minutes")
        subjects = subjects_of(self.trigger)
        for action in self.actions:
            wanted = action.kind.subjects
            if wanted and not set(wanted) & set(subjects):
                raise ValueError(f"{action.do} works on a {' or '.join(wanted)}; this trigger concerns none")
        return self

    @property
    def has_examples(self) -> bool:
        """Whether an action names what stands in templates for somebody's own choice."""
        return any(str(EXAMPLE_ID) in action.model_dump_json() for action in self.actions)

    @property
    def is_timed(self) -> bool:
        """Whether there is something to do for it as time passes: it sets it off, or what it looks at changes."""
        return self.trigger.kind in TIMED or self.waits or bool(self.metrics)

    @property
    def waits(self) -> bool:
        """Whether it acts only once nothing follows what sets it off."""
        return self.debounce_minutes > 0


def newest_of(event_type: str) -> type[Event]:
    """The newest version of an event: as it is read."""
    return EVENTS[event_type, max(version for kind, version in EVENTS if kind == event_type)]


#: Aggregates that are records of their own; events of others speak about those that they name.
RECORDS = ("deal", "contact", "company")


def subjects_of(trigger: Trigger) -> tuple[str, ...]:
    """The types of records that what sets a rule off may be about."""
    if isinstance(trigger, OnScore):
        return (trigger.subject,)
    if not isinstance(trigger, OnEvent):
        return ("deal",)
    kind = newest_of(trigger.event)
    if kind.aggregate_type in RECORDS:
        return (kind.aggregate_type,)
    named = tuple(record for record in RECORDS if f"{record}_id" in kind.model_fields)
    return named or (kind.aggregate_type,)
