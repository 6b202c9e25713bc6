"""Bodies and answers of sign-in and users."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field, JsonValue

from api.edge.fields import Flag, Name, ShortText, body_like
from api.organizations.schemas import OrganizationRead, OrganizationSettings
from contracts.access import RecordScope, Role

Email = Annotated[EmailStr, Field(max_length=254, examples=["rep@example.com"])]
#: As typed: neither stripped nor folded. The policy says more than a schema can.
NewPassword = Annotated[str, Field(max_length=256, examples=["correct horse battery"])]
GivenPassword = Annotated[str, Field(max_length=1024)]
#: Not checked for form: a wrong address is refused like a wrong password.
GivenEmail = ShortText

_USER: dict[str, JsonValue] = {
    "email": "rep@example.com",
    "name": "Kim Rep",
    "role": "rep",
    "record_scope": "own",
    "is_active": True,
}


class SignUp(OrganizationSettings):
    """A person and their new organization."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "email": "owner@example.com",
                    "password": "correct horse battery",
                    "name": "Robin Owner",
                    "organization_name": "Acme",
                    "time_zone": "Europe/Berlin",
                    "currency": "EUR",
                }
            ]
        },
    )

    email: Email
    password: NewPassword
    name: Name
    organization_name: Name


class SignIn(BaseModel):
    """Credentials."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"email": "rep@example.com", "password": "correct horse battery"}]},
    )

    email: GivenEmail
    password: GivenPassword
    organization_id: UUID | None = Field(default=None, description="Which organization; default the oldest membership.")
    code: str | None = Field(
        default=None,
        max_length=60,
        description="Of the second factor, where there is one: a one-time or recovery code.",
    )


class Refresh(BaseModel):
    """A refresh token."""

    model_config = body_like({"refresh_token": "eyJ…"})

    refresh_token: str = Field(max_length=500)


class Tokens(BaseModel):
    """A sign-in. The refresh token is good once; use the one that comes back."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 # a scheme's name
    expires_in: int = Field(description="Life of the access token in seconds.")


class ProviderRead(BaseModel):
    """A provider that one may sign in by."""

    key: str = Field(examples=["google"])
    label: str = Field(examples=["Google"])


class OidcBegin(BaseModel):
    """Where the browser comes back to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"redirect_uri": "http://127.0.0.1:8501/sso/return"}]},
    )

    redirect_uri: ShortText


class OidcBegun(BaseModel):
    """Where to send the browser, and what it keeps meanwhile."""

    authorization_url: str
    ticket: str = Field(description="For this browser alone; ten minutes.")


class OidcReturn(BaseModel):
    """What the provider sent the browser back with, and the ticket that it kept."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"ticket": "AV1…", "state": "q8Zn…", "code": "S0m3…", "iss": "https://accounts.google.com"}]
        },
    )

    ticket: str = Field(max_length=4000)
    state: str = Field(max_length=400)
    code: str = Field(max_length=4000)
    iss: str | None = Field(default=None, max_length=500)


class OidcStep(StrEnum):
    """What is left to do."""

    DONE = "done"
    SECOND_FACTOR = "second_factor"
    LINK = "link"


class OidcAnswer(BaseModel):
    """What came of it: tokens; or a token to go on with, by a code, or by signing in otherwise and linking it."""

    step: OidcStep
    token: str | None = Field(description="For `second_factor` and `link`; a quarter of an hour.")
    tokens: Tokens | None


class OidcContinuation(BaseModel):
    """A second factor, after the provider."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"token": "AV1…", "code": "123456"}]})

    token: str = Field(max_length=4000)
    code: str = Field(max_length=64)


class IdentityRead(BaseModel):
    """An identity that is linked with an account."""

    model_config = ConfigDict(from_attributes=True)

    issuer: str
    subject: str
    created_at: datetime


class IdentityLink(BaseModel):
    """The identity to link."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"token": "AV1…"}]})

    token: str = Field(max_length=4000)


class IdentityRemoval(BaseModel):
    """The identity to unlink."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"issuer": "https://accounts.google.com", "subject": "1093274"}]},
    )

    issuer: str = Field(max_length=500)
    subject: str = Field(max_length=255)


class SignedUp(Tokens):
    """A sign-in to the new organization."""

    organization_id: UUID
    user_id: UUID


class Address(BaseModel):
    """Whoever lost their password."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"email": "kim@example.com"}]})

    email: GivenEmail


class Link(BaseModel):
    """What a link from a mail holds."""

    model_config = body_like({"token": "AbC…"})

    token: str = Field(max_length=300)


class NewPasswordByLink(Link):
    """A new password, by a link from a mail."""

    model_config = body_like({"token": "AbC…", "password": "a long phrase of mine"})

    password: NewPassword


class PasswordChange(BaseModel):
    """One's own password."""

    model_config = body_like({"current_password": "the one before", "new_password": "a long phrase"})

    current_password: GivenPassword
    new_password: NewPassword


class Code(BaseModel):
    """A one-time code, or a recovery code."""

    model_config = body_like({"code": "123456"})

    code: str = Field(max_length=60)


class SecondFactorSeed(BaseModel):
    """What an authenticator needs. Confirm it with a code."""

    seed: str
    uri: str = Field(description="The same for a picture that authenticators read.")


class RecoveryCodes(BaseModel):
    """Codes for whoever loses their device, each good once. Shown this once."""

    recovery_codes: list[str]


class Membership(BaseModel):
    """An organization that the person is a member of."""

    id: UUID
    name: str
    role: Role
    is_present: bool = Field(description="Whether this sign-in is in it.")
    requires_second_factor: bool


class LimitRead(BaseModel):
    """An allowance of requests."""

    name: str = Field(description="account, key or organization.")
    per_minute: float = Field(description="How it refills.")
    limit: int = Field(description="How many may come at once when it is whole.")
    remaining: int
    reset_seconds: int = Field(description="Until it is whole again.")


class Switch(BaseModel):
    """Which organization to go on in."""

    model_config = body_like({"organization_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"})

    organization_id: UUID


class SessionRead(BaseModel):
    """A sign-in that goes on."""

    id: UUID
    user_id: UUID
    is_present: bool = Field(description="Whether it is the one that asks.")
    address: str | None
    user_agent: str | None
    has_second_factor: bool
    created_at: datetime
    rotated_at: datetime = Field(description="When it was last gone on with.")
    expires_at: datetime


class InvitationCreate(BaseModel):
    """Somebody to invite."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"email": "kim@example.com"}]})

    email: Email
    name: Name | None = Field(default=None, description="They may say otherwise.")
    role: Role = Role.REP
    record_scope: RecordScope | None = Field(default=None, description="Default: what is usual for the role.")
    team_id: UUID | None = None


class InvitationRead(BaseModel):
    """An invitation that waits."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str
    role: Role
    record_scope: RecordScope
    team_id: UUID | None
    invited_by: UUID
    created_at: datetime
    expires_at: datetime


class InvitationMade(InvitationRead):
    """An invitation that was just made."""

    is_mailed: bool = Field(description="Whether a mail is on its way. Otherwise hand over the link.")
    link: str | None = Field(description="Where no mail is sent: give it to the person, and to nobody else.")


class Acceptance(NewPasswordByLink):
    """Taking up an invitation, with the password that one has already or a new one."""

    name: Name | None = None


class UserCreate(BaseModel):
    """A new user. Tell them the password; with one they already have they keep one sign-in for both organizations."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "email": "rep@example.com",
                    "name": "Kim Rep",
                    "password": "correct horse battery",
                    "role": "rep",
                }
            ]
        },
    )

    email: Email
    name: Name
    password: NewPassword | None = Field(default=None, description="Without one they cannot sign in until one is set.")
    role: Role = Role.REP
    record_scope: RecordScope | None = Field(default=None, description="Default: what is usual for the role.")


class UserUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "manager"}]})

    # only fields that were sent count, and none of them takes null
    name: Name = ""
    role: Role = Role.REP
    record_scope: RecordScope = Field(
        default=RecordScope.OWN, description="Left out while the role changes: what is usual for the new role."
    )
    is_active: Flag = Field(default=True, description="`false` ends all their sign-ins at once.")
    password: NewPassword = Field(default="", description="A new password; ends all their sign-ins.")


class UserRead(BaseModel):
    """A user."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [_USER | {"id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f", "version": 1}]},
    )

    id: UUID
    version: int
    email: str
    name: str
    role: Role
    record_scope: RecordScope
    is_active: bool
    created_at: datetime
    updated_at: datetime


def user_answer(user: Any) -> UserRead:  # noqa: ANN401 # a state, or a row that has its columns
    """A user as they are read. Sign-ins, which are events of theirs, are no new version of it."""
    read = UserRead.model_validate(user)
    read.version -= user.sign_ins
    return read


class MeRead(UserRead):
    """The caller and their organization."""

    organization: OrganizationRead
    team_id: UUID | None
