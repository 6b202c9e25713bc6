"""Bodies and answers of connectors: what they saw, what they shall send, what became of it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from api.conversations.schemas import LONGEST_TEXT, Html, Subject
from api.edge.fields import Flag, Instant, ShortText, Whole
from contracts.channels import Channel, Direction, MessageKind, SendState

LARGEST_BATCH = 200

ProviderId = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
AnyText = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
ReasonCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,60}$")]

_MESSAGE: JsonDict = {
    "provider_id": "<a1@acme.example>",
    "thread_key": "<a1@acme.example>",
    "address": "ada@acme.example",
    "direction": "in",
    "text": "Hello",
    "occurred_at": "2026-05-01T09:30:00Z",
}
_ACCOUNT = "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"


class Attachment(BaseModel):
    """A file that came along."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=300)
    type: str = Field(max_length=200)
    size: Whole = Field(ge=0)
    part: str | None = Field(
        default=None, pattern=r"^[1-9]\d{0,3}(\.[1-9]\d{0,3}){0,19}$", description="Of a mail: its number, as 2.1."
    )


class Bounced(BaseModel):
    """Which message of ours came back, and whether its address is no good."""

    model_config = ConfigDict(extra="forbid")

    provider_id: ProviderId
    address: str | None = Field(default=None, max_length=320)
    status: str = Field(default="", max_length=20)
    is_hard: Flag = False


class MessageSeen(BaseModel):
    """A message that a connector saw at the provider."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_MESSAGE]})

    provider_id: ProviderId
    thread_key: ProviderId = Field(description="The chat, or the first mail of the thread.")
    aliases: list[ProviderId] = Field(default_factory=list, max_length=5, description="What else the chat is called.")
    address: ShortText = Field(description="Who else it is with: their address, number or handle.")
    direction: Literal[Direction.IN, Direction.OUT]
    kind: MessageKind = MessageKind.MESSAGE
    sender: str | None = Field(default=None, max_length=640)
    subject: Subject | None = None
    text: AnyText = ""
    html: Html | None = None
    occurred_at: Instant
    is_seen: Flag = Field(default=False, description="One of us has read it, in another program.")
    to: list[Annotated[str, StringConstraints(max_length=640)]] = Field(default_factory=list, max_length=500)
    references: list[ProviderId] = Field(default_factory=list, max_length=200)
    attachments: list[Attachment] = Field(default_factory=list, max_length=200)
    bounced: Bounced | None = None
    payload: dict[str, Any] = Field(default_factory=dict, description="As the provider gave it.")


class InboundBatch(BaseModel):
    """Messages of one account, in the order in which they are to be taken in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"account_id": _ACCOUNT, "epoch": 1, "messages": [_MESSAGE]}]},
    )

    account_id: UUID
    epoch: Whole = Field(ge=0, description="Of the lease.")
    messages: list[MessageSeen] = Field(min_length=1, max_length=LARGEST_BATCH)


class TakenRead(BaseModel):
    """What became of one of them."""

    model_config = ConfigDict(from_attributes=True)

    provider_id: str
    message_id: UUID
    conversation_id: UUID
    is_new: bool


class InboundAnswer(BaseModel):
    """What became of each, in order."""

    messages: list[TakenRead]


class MessageChange(BaseModel):
    """What happened to a message that is known.

    `edited`, `removed`: by its writer. `read`: they read ours up to it. `seen`: one of us read theirs up to it, in
    another program. `gone`: it lies no more where it was, moved or deleted by one of us; it stays here.
    """

    model_config = ConfigDict(extra="forbid")

    change: Literal["edited", "removed", "read", "seen", "gone"]
    provider_id: ProviderId
    thread_key: ProviderId | None = None
    text: AnyText = ""
    html: Html | None = None
    at: Instant
    payload: dict[str, Any] = Field(default_factory=dict)


class ChangeBatch(BaseModel):
    """Changes of messages of one account, in order."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "account_id": _ACCOUNT,
                    "epoch": 1,
                    "changes": [{"change": "removed", "provider_id": "7:12", "at": "2026-05-01T09:30:00Z"}],
                }
            ]
        },
    )

    account_id: UUID
    epoch: Whole = Field(ge=0)
    changes: list[MessageChange] = Field(min_length=1, max_length=LARGEST_BATCH)


class ChangeAnswer(BaseModel):
    """How many messages changed, and which are not known."""

    changed: int
    unknown: list[str]


class SendsAsk(BaseModel):
    """A connector that can send some now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"account_id": _ACCOUNT, "epoch": 1}]})

    account_id: UUID
    epoch: Whole = Field(ge=0)
    limit: Whole = Field(default=10, ge=1, le=100)


class SendFile(BaseModel):
    """A file that goes with a message: its content is that of `/v1/files/{file_id}/content`."""

    model_config = ConfigDict(from_attributes=True)

    file_id: UUID
    name: str
    type: str
    size: int


class SendJob(BaseModel):
    """A send to do now."""

    send_id: UUID
    message_id: UUID
    channel: Channel
    address: str
    thread_key: str
    provider_id: str | None = Field(description="The name it shall have at the provider, where we choose it.")
    subject: str | None
    text: str
    html: str | None
    headers: dict[str, str]
    references: list[str]
    files: list[SendFile]
    attempts: int


class SendJobs(BaseModel):
    """Sends to do now, oldest first."""

    sends: list[SendJob]
    news_at: datetime | None = Field(description="When the provider last said that there is something to read.")


class SendsDue(BaseModel):
    """Whether something was due before anybody waited: what could not be claimed then is held up."""

    is_due: bool


class SendResult(BaseModel):
    """What became of a send. `queued`: the provider certainly did not take it; it waits `seconds`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"epoch": 1, "state": "sent", "provider_id": "12"}]}
    )

    epoch: Whole = Field(ge=0)
    state: Literal[SendState.SENT, SendState.FAILED, SendState.UNKNOWN, SendState.QUEUED]
    provider_id: ProviderId | None = None
    reason: ReasonCode | None = None
    seconds: Whole = Field(default=0, ge=0, le=10 * 86_400)


class SendRead(BaseModel):
    """How a send stands."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    message_id: UUID
    account_id: UUID
    state: SendState
    source: str
    source_id: UUID | None
    not_before: datetime
    attempts: int
    claimed_at: datetime | None
    finished_at: datetime | None
    failure: str | None
