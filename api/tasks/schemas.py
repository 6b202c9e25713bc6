"""Bodies and answers of tasks."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from api.edge.fields import Instant, LongText, Name, ShortText

_EXAMPLE: JsonDict = {
    "title": "Call about the offer",
    "due_at": "2026-06-01T07:00:00Z",
    "recurrence": "FREQ=WEEKLY;BYDAY=MO",
}


class TaskCreate(BaseModel):
    """A new task."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    title: Name
    body: LongText | None = None
    due_at: Instant | None = None
    remind_at: Instant | None = Field(default=None, description="When it shows up among what is to be done today.")
    recurrence: ShortText | None = Field(
        default=None, description="A rule of RFC 5545, counted from `due_at`. Completing the task makes the next one."
    )
    assignee_id: UUID | None = Field(default=None, description="A user; default the caller. `null` for nobody.")
    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None


class TaskUpdate(TaskCreate):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"due_at": "2026-06-02T07:00:00Z"}]})

    title: Name = ""

    @model_validator(mode="after")
    def _keep_a_title(self) -> Self:
        if "title" in self.model_fields_set and not self.title:
            raise ValueError("title must not be empty")
        return self


class TaskRead(BaseModel):
    """A task."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    title: str
    body: str | None
    due_at: datetime | None
    remind_at: datetime | None
    recurrence: str | None
    assignee_id: UUID | None
    created_by: UUID | None
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
