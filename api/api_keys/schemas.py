"""Bodies and answers of keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.edge.fields import Instant, ShortName
from contracts.access import Role

_KEY: dict[str, JsonValue] = {"name": "Nightly export", "scopes": ["deals:read", "metrics:read"]}
Scopes = Annotated[list[Annotated[str, Field(max_length=60)]], Field(min_length=1, max_length=100)]


class ApiKeyCreate(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_KEY]})

    name: ShortName
    scopes: Scopes = Field(description="What it may do, as `area:read` or `area:write`.")
    expires_at: Instant | None = Field(default=None, description="Never, if not given.")
    role: Role | None = Field(
        default=None,
        description="Makes it a service's key: it has this role, sees all records, and goes on when its maker leaves.",
    )


class ApiKeyRead(BaseModel):
    """A key, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID = Field(description="Who made it.")
    name: str
    hint: str = Field(description="How it ends.")
    scopes: list[str]
    role: Role | None
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class ApiKeyMade(ApiKeyRead):
    """A key that was just made: the only answer that holds it."""

    key: str = Field(description="Send it as `Authorization: Bearer …`. It is shown this once.")
