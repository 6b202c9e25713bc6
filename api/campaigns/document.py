"""What people write down of a campaign: its steps, the hours in which it writes, how fast it may grow.

A condition is CEL, as in rules, over `contact`, `company`, `deal` and `recipient`; texts have `{{fields}}`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.conversations.schemas import Words
from api.edge.fields import Real, ShortText, Whole
from contracts.channels import Channel

_MOST_STEPS, _MOST_VARIANTS = 20, 5

Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5]0$|^([01][0-9]|2[0-3]):[0-5]5$|^24:00$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Part):
    """One wording of a step. A task's subject is its title."""

    subject: ShortText | None = None
    text: Annotated[Words, Field(max_length=20_000)]
    html: Annotated[Words, Field(max_length=100_000)] | None = Field(
        default=None, description="A mail's other form; `text` is for those who read no HTML. Scripts and images go."
    )
    weight: Whole = Field(default=1, ge=1, le=100, description="Its part of those who are not held out.")


class Step(_Part):
    """One step of the sequence."""

    kind: Literal["email", "telegram", "task"] = "email"
    wait_days: Real = Field(default=0.0, ge=0, le=365, description="After the step before, or the start.")
    when: str = Field(default="", max_length=2_000, description="CEL; empty: always.")
    otherwise: Literal["skip", "stop"] = Field(default="skip", description="What becomes of those whom `when` leaves.")
    variants: list[Variant] = Field(min_length=1, max_length=_MOST_VARIANTS)
    hold_out_percent: Whole = Field(default=0, ge=0, le=50, description="Who gets nothing here, to compare with.")

    @model_validator(mode="after")
    def _has_subjects(self) -> "Step":
        if self.kind in ("email", "task") and any(one.subject is None for one in self.variants):
            raise ValueError("each variant of a mail or a task needs a subject")
        if self.kind != "email" and any(one.html is not None for one in self.variants):
            raise ValueError("only mails have HTML")
        return self

    @property
    def channel(self) -> Channel | None:
        """Through what it goes; None: a person does it."""
        return None if self.kind == "task" else Channel(self.kind)


class Hours(_Part):
    """When people are written to, by the clock where they are."""

    opens: Clock = "09:00"
    closes: Clock = "18:00"
    days: list[Annotated[int, Field(ge=1, le=7)]] = Field(
        default=[1, 2, 3, 4, 5], min_length=1, max_length=7, description="1 is Monday."
    )

    @model_validator(mode="after")
    def _is_some_time(self) -> "Hours":
        if self.opens == self.closes:
            raise ValueError("opens and closes must differ; 00:00 to 24:00 is the whole day")
        return self


class Pace(_Part):
    """How many recipients get a message of the campaign on a day, on top of what each account bears."""

    first_day: Whole = Field(default=50, ge=1, le=100_000)
    growth_percent: Whole = Field(default=25, ge=0, le=200, description="How much more on each day.")
    most: Whole = Field(default=1_000, ge=1, le=100_000)


Steps = Annotated[list[Step], Field(max_length=_MOST_STEPS)]
