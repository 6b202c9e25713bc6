"""Bodies and answers of campaigns."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from api.campaigns.document import Hours, Pace, Step, Steps
from api.edge.fields import Flag, Instant, LongText, ShortName, ShortText, Whole
from contracts.channels import AccountState, Channel
from contracts.events.campaigns import LegalBasis

_STEP: JsonDict = {
    "kind": "email",
    "variants": [{"subject": "400 seats", "text": "Hello {{contact.first_name | there}}"}],
}

_Note = Annotated[LongText, Field(max_length=2_000, description="Why that ground holds.")]
_Filter = Annotated[list[Any], Field(max_length=20, description="Conditions, as the `filter` of lists takes them.")]
_Accounts = Annotated[list[UUID], Field(max_length=50, description="Accounts to send from.")]
_AwayDays = Annotated[Whole, Field(ge=1, le=60, description="How long whoever is away is left alone.")]


class CampaignCreate(BaseModel):
    """A campaign to build."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Seats in spring", "steps": [_STEP]}]}
    )

    name: ShortName
    legal_basis: LegalBasis | None = None
    basis_note: _Note | None = None
    view_id: UUID | None = Field(default=None, description="A saved view of contacts; none: all you see.")
    filter: _Filter = []
    account_ids: _Accounts = []
    steps: Steps = []
    hours: Hours = Hours()
    pace: Pace = Pace()
    stops_company: Flag = Field(default=True, description="One who answers ends it for their company.")
    away_days: _AwayDays = 7


class CampaignUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"legal_basis": "consent"}]})

    # only fields that were sent count
    name: ShortName = ""
    legal_basis: LegalBasis | None = None
    basis_note: _Note | None = None
    view_id: UUID | None = None
    filter: _Filter = []
    account_ids: _Accounts = []
    steps: Steps = []
    hours: Hours = Hours()
    pace: Pace = Pace()
    stops_company: Flag = True
    away_days: _AwayDays = 7


class CampaignRead(BaseModel):
    """A campaign."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    state: str
    owner_id: UUID
    legal_basis: str | None
    basis_note: str | None
    view_id: UUID | None
    filter: list[Any]
    account_ids: list[UUID]
    steps: list[Step]
    hours: Hours
    pace: Pace
    stops_company: bool
    away_days: int
    started_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime


class PersonRead(BaseModel):
    """One person of the audience."""

    model_config = ConfigDict(from_attributes=True)

    contact_id: UUID
    name: str
    company_id: UUID | None
    addresses: dict[Channel, str]
    reason: str | None = Field(description="Why they are not written to.")


class AudienceRead(BaseModel):
    """Who would be written to if it started now, and who not, and why."""

    included: int
    excluded: int
    reasons: dict[str, int]
    people: list[PersonRead] = Field(description="The first of each, those excluded first.")


class WordingRead(BaseModel):
    """One wording of a step for one person."""

    step: int
    kind: str
    variant: str
    sender: str | None = Field(description="From what address it comes, where an account is chosen.")
    address: str | None = Field(description="Where it goes to.")
    subject: str | None
    text: str
    html: str | None
    missing: list[str]


class PreviewRead(BaseModel):
    """What somebody would get."""

    contact_id: UUID
    wordings: list[WordingRead]


class RecipientRead(BaseModel):
    """One recipient, as they stand."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    campaign_id: UUID
    contact_id: UUID
    name: str | None = Field(default=None, description="What they are called; null where you do not see the contact.")
    company_id: UUID | None
    state: str
    ending: str | None
    reason: str | None
    step: int
    due_at: datetime | None
    replied_at: datetime | None
    ended_at: datetime | None


class StandingRead(BaseModel):
    """How many recipients stand so."""

    state: str
    why: str | None
    recipients: int
    replied: int
    next_at: datetime | None


class TouchesRead(BaseModel):
    """How many recipients a step and variant reached so far."""

    step: int
    variant: str
    state: str
    touches: int


class AccountRoomRead(BaseModel):
    """One account that it sends from: how it is, and how many messages it may begin today."""

    account_id: UUID
    name: str
    state: AccountState
    until: datetime | None
    room: int


class ProgressRead(BaseModel):
    """How far a campaign is."""

    begun: int = Field(description="Messages begun within the last 24 hours.")
    allowance: int = Field(description="How many may be, so many days after its start.")
    accounts: list[AccountRoomRead]

    recipients: list[StandingRead]
    touches: list[TouchesRead]


class StopWrite(BaseModel):
    """Whom it shall write to no more: a person, or everybody of a company."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"contact_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"}]}
    )

    contact_id: UUID | None = None
    company_id: UUID | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "StopWrite":
        if (self.contact_id is None) == (self.company_id is None):
            raise ValueError("name either contact_id or company_id")
        return self


class StoppedRead(BaseModel):
    """For how many it ended."""

    stopped: int


class ConsentWrite(BaseModel):
    """That somebody agreed to be written to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"contact_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f", "source": "Form at the fair"}]
        },
    )

    contact_id: UUID
    source: ShortText = Field(max_length=200, description="How they did.")
    given_at: Instant | None = Field(default=None, description="When; default now.")


class ConsentRead(BaseModel):
    """That somebody agreed to be written to, and until when."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    contact_id: UUID
    source: str
    given_at: datetime
    withdrawn_at: datetime | None
    noted_by: UUID | None


class SuppressionWrite(BaseModel):
    """Addresses that nothing is to be sent to."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"channel": "email", "addresses": ["ada@acme.example"]}]}
    )

    channel: Channel = Channel.EMAIL
    addresses: list[Annotated[ShortText, Field(min_length=3, max_length=320)]] = Field(min_length=1, max_length=1_000)


class SuppressionRead(BaseModel):
    """An address that nothing is sent to, and why: unsubscribed, bounced or by_hand."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    channel: Channel
    address: str
    reason: str
    created_at: datetime
