"""Answers of the audit log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class AuditEntryRead(BaseModel):
    """What was done, by whom and from where."""

    model_config = ConfigDict(from_attributes=True)

    position: int
    at: datetime
    action: str = Field(examples=["user.updated"])
    actor: str = Field(description="user, api_key, import, rule, system …")
    actor_id: UUID | None
    address: str | None = Field(description="The network address that the request came from.")
    correlation_id: UUID | None
    resource: str | None
    resource_id: UUID | None
    before: dict[str, Any] | None = Field(description="What changed, as it was.")
    after: dict[str, Any] | None
    hash: str = Field(description="Of this entry and the one before: a later change of either shows.")
