"""Bodies and answers of distribution."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from api.edge.fields import Flag, Label, ShortName
from api.organizations.schemas import TimeZone

_EXAMPLE: JsonDict = {
    "name": "Website, in turn",
    "source": "Website",
    "method": "round_robin",
    "members": [
        {"user_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f", "capacity": 30},
        {"user_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e60", "time_zone": "America/New_York"},
    ],
    "working_hours": {"days": [1, 2, 3, 4, 5], "begins": "09:00", "ends": "17:00"},
    "is_automatic": True,
}

_Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
_Day = Annotated[int, Field(strict=True, ge=1, le=7)]


class Member(BaseModel):
    """Somebody who takes deals."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID
    weight: Annotated[int, Field(strict=True, ge=1, le=100)] = 1
    capacity: Annotated[int, Field(strict=True, ge=0, le=100_000)] | None = Field(
        default=None, description="So many open deals at most; left out: any number."
    )
    time_zone: TimeZone | None = Field(default=None, description="Where they work; default the organization's zone.")


class WorkingHours(BaseModel):
    """When members take deals: from `begins` until before `ends`, in the zone of each."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[list[_Day], Field(min_length=1, max_length=7, description="1 is Monday, 7 Sunday.")]
    begins: _Clock
    ends: _Clock

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.begins >= self.ends:
            raise ValueError("begins must lie before ends")
        return self


_Members = Annotated[list[Member], Field(min_length=1, max_length=200, description="In the order of their turns.")]
_Position = Annotated[int, Field(strict=True, ge=0, le=100_000, description="Order in which rules are tried.")]
_Method = Literal["round_robin", "weighted", "least_busy"]


class DistributionRuleCreate(BaseModel):
    """A new rule."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: ShortName
    position: _Position = 0
    pipeline_id: UUID | None = Field(default=None, description="Only deals of this pipeline.")
    source: Label | None = Field(default=None, description="Only deals of this source.")
    method: _Method = "round_robin"
    members: _Members
    working_hours: WorkingHours | None = None
    fallback_user_id: UUID | None = Field(
        default=None, description="Who gets what no member can take; left out, such a deal waits for an owner."
    )
    is_automatic: Flag = Field(
        default=False,
        description="Also for new deals that name no owner. Otherwise only where `owner_id` is `distribute`.",
    )
    is_active: Flag = True

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        ids = [member.user_id for member in self.members]
        if len(set(ids)) != len(ids):
            raise ValueError("members: somebody is named twice")
        return self


class DistributionRuleUpdate(DistributionRuleCreate):
    """The fields to change; those left out stay. Other members or another method begin the turns anew."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"is_active": False}]})

    # only fields that were sent count
    name: ShortName = ""
    members: list[Member] = Field(default=[], max_length=200)

    @model_validator(mode="after")
    def _keep_members(self) -> Self:
        for name in ("name", "members"):
            if name in self.model_fields_set and not getattr(self, name):
                raise ValueError(f"{name} must not be empty")
        return self


class DistributionRuleRead(BaseModel):
    """A rule."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    position: int
    pipeline_id: UUID | None
    source: str | None
    method: str
    members: list[Member]
    working_hours: WorkingHours | None
    fallback_user_id: UUID | None
    is_automatic: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class DistributionRead(BaseModel):
    """What a rule chose for a deal."""

    id: UUID
    rule_id: UUID
    rule_version: int
    rule: str
    deal_id: UUID
    user_id: UUID | None = Field(description="Whom it went to; null: it waits for an owner.")
    outcome: Literal["assigned", "fallback", "queued"]
    reason: str = Field(examples=["round robin, 3rd of 4; Ann was at capacity"])
    facts: dict[str, Any]
    created_at: datetime
