"""Bodies and answers of teams."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.edge.fields import Flag, Instant, ShortName

_OCCURRED_AT = Field(default=None, description="Since when it is true; default now, may lie in the past.")


class TeamCreate(BaseModel):
    """A new team."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "North"}]})

    name: ShortName
    parent_team_id: UUID | None = None
    manager_id: UUID | None = Field(default=None, description="A user; need not be a member.")
    occurred_at: Instant | None = _OCCURRED_AT


class TeamUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"parent_team_id": None}]})

    # only fields that were sent count; name and is_active take no null
    name: ShortName = ""
    parent_team_id: UUID | None = None
    manager_id: UUID | None = None
    is_active: Flag = Field(default=True, description="`false` closes the team: its memberships end.")
    occurred_at: Instant | None = _OCCURRED_AT


class TeamRead(BaseModel):
    """A team."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    parent_team_id: UUID | None
    manager_id: UUID | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


class MemberAdd(BaseModel):
    """A user to put into a team; it ends the user's membership elsewhere."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"user_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"}]}
    )

    user_id: UUID
    occurred_at: Instant | None = _OCCURRED_AT


class MemberRead(BaseModel):
    """A user's time in a team, half-open; `ended_at` is null while it lasts."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    team_id: UUID
    user_id: UUID
    started_at: datetime
    ended_at: datetime | None
