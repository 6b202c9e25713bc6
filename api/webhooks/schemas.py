"""Bodies and answers of webhooks."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from api.webhooks.rules import DeliveryStatus, WebhookState


def _visible(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be ASCII without spaces: write other characters as %XX, other hosts as xn--…")
    return url


_EXAMPLE: dict[str, JsonValue] = {
    "url": "https://hooks.example.com/sluice",
    "event_types": ["deal.created", "deal.stage.changed"],
}
_Url = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    AfterValidator(_visible),
    Field(description="Where events are sent by POST. Only public addresses are called, and no redirect is followed."),
]
_Types = Annotated[
    list[Annotated[str, Field(max_length=100)]],
    Field(max_length=200, description="Types of events to send; none names all."),
]


class WebhookCreate(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    url: _Url
    event_types: _Types = []


class WebhookUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"state": "active"}]})

    # only fields that were sent count
    url: _Url = ""
    event_types: _Types = []
    state: WebhookState = Field(
        default=WebhookState.ACTIVE,
        description="`active` sends what waits, and what happens from now on; what happens while it is disabled is"
        " sent to nobody.",
    )


class WebhookRead(BaseModel):
    """A webhook, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    url: str
    event_types: list[str] = Field(description="None: all.")
    state: WebhookState
    reason: str | None = Field(description="Why it is disabled.")
    first_failed_at: datetime | None = Field(description="Since when every delivery failed; 5 days disable it.")
    before_until: datetime | None = Field(description="Until when the secret before the last rotation signs too.")
    created_at: datetime
    updated_at: datetime


class WebhookMade(WebhookRead):
    """A webhook with its new secret: the only answer that holds it."""

    secret: str = Field(description="Verifies deliveries, by any library of Standard Webhooks. It is shown this once.")


class DeliveryRead(BaseModel):
    """One event on its way to one webhook."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    webhook_id: UUID
    event_id: UUID = Field(description="Its header `webhook-id`, the same at each attempt.")
    event_type: str
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    sent_at: datetime | None
    answer_status: int | None = Field(description="The last answer's HTTP status.")
    answer: str | None = Field(description="How the last answer began.")
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: datetime
