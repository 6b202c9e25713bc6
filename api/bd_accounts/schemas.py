"""Bodies and answers of accounts. Secrets go in, and come out for connectors alone."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic.config import JsonDict

from api.edge.fields import ShortName, ShortText, Whole
from contracts.channels import AccountState, Channel

_EXAMPLE: JsonDict = {
    "channel": "email",
    "name": "Sales mailbox",
    "address": "sales@acme.example",
    "settings": {"imap_host": "imap.acme.example", "smtp_host": "smtp.acme.example"},
}

#: What is no secret: hosts, ports, folders. A connector knows which of them it reads.
Settings = Annotated[
    dict[Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")], str | int | bool], Field(max_length=30)
]
ReasonCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,60}$")]


class AccountCreate(BaseModel):
    """A new account, to be connected."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    channel: Channel
    name: ShortName
    address: ShortText = Field(description="E-mail address, phone number or handle.")
    daily_limit: Whole = Field(default=200, ge=0, le=100_000, description="Messages a day when nothing is wrong.")
    user_id: UUID | None = Field(default=None, description="Who works with it.")
    team_id: UUID | None = None
    settings: Settings = Field(default_factory=dict)


class AccountUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"daily_limit": 50}]})

    # only fields that were sent count; none of them takes null
    name: ShortName = ""
    daily_limit: Whole = Field(default=200, ge=0, le=100_000)
    settings: Settings = Field(default_factory=dict)


class AccountAssign(BaseModel):
    """Who works with it from now on; null for nobody."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"user_id": None, "team_id": None}]})

    user_id: UUID | None = None
    team_id: UUID | None = None


class AccountRead(BaseModel):
    """An account."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    channel: Channel
    name: str
    address: str
    state: AccountState
    reason: str | None
    until: datetime | None
    user_id: UUID | None
    team_id: UUID | None
    daily_limit: int
    settings: dict[str, JsonValue]
    connected_at: datetime | None
    lease_until: datetime | None
    not_compared: Literal["bots_may_list_nothing", "linkedin_lists_nothing"] | None = Field(
        description="Why its days cannot be compared with its provider, so that nobody knows whether they are complete."
    )
    created_at: datetime
    updated_at: datetime


class AccountHealth(BaseModel):
    """What the provider let an account feel lately, and how much it should still send today."""

    account_id: UUID
    health: float = Field(ge=0, le=1)
    budget: int
    sent_today: int
    signs: dict[str, int] = Field(description="How often within a week, by kind.")
    written_to: int = Field(description="People whom it wrote to within 30 days, and who had two days to answer.")
    answered: int = Field(description="Those of them who did.")


class AssignmentRead(BaseModel):
    """Who worked with an account when."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID | None
    team_id: UUID | None
    started_at: datetime
    ended_at: datetime | None


class StateReport(BaseModel):
    """How a connector finds the account."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"state": "flood_wait", "reason": "flood_wait", "seconds": 30}]}
    )

    state: AccountState
    reason: ReasonCode | None = None
    seconds: Whole | None = Field(default=None, ge=0, le=10 * 86_400, description="How long to wait.")

    @model_validator(mode="after")
    def _wait_is_known(self) -> "StateReport":
        if self.state is AccountState.FLOOD_WAIT and self.seconds is None:
            raise ValueError("a flood wait needs `seconds`")
        return self


class LeaseAsk(BaseModel):
    """A connector wants to hold the account, or goes on holding it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"holder": "channels-1"}]})

    holder: ShortText


class LeaseRead(BaseModel):
    """The account is the connector's until then, under this number."""

    account_id: UUID
    epoch: int
    until: datetime


class Holding(BaseModel):
    """The connector holds the account under this number."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"epoch": 1}]})

    epoch: Whole = Field(ge=0)


class SecretWrite(BaseModel):
    """Parts of a secret; null takes one away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"values": {"password": "…"}}]})

    values: dict[
        Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")],
        Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None,
    ] = Field(min_length=1, max_length=20)


class Connection(BaseModel):
    """What it takes to sign in, and how far the account was read."""

    account: AccountRead
    secret: dict[str, str]
    cursor: dict[str, Any]


class CursorWrite(BaseModel):
    """How far the connector has read."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"epoch": 1, "cursor": {"uid": 7}}]})

    epoch: Whole = Field(ge=0)
    cursor: dict[str, Any]
