"""The body that makes a contact."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field, StringConstraints, computed_field
from pydantic.config import JsonDict

from api.edge.fields import CustomValues, ExternalId, Flag, Label, Name, PhoneNumber
from api.kernel import phones
from api.kernel.tags import Tags

_EXAMPLE: JsonDict = {
    "name": "Ada Lovelace",
    "email": "ada@acme.example",
    "phone": "+49 30 1234567",
    "source": "Website",
}


_MOST = 20


class EmailAddress(BaseModel):
    """One e-mail address of a contact."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"value": "ada@acme.example"}]})

    type: Literal["work", "personal", "other"] = "work"
    value: EmailStr
    is_primary: Flag = Field(default=False, description="Of several without one, the first is.")


class Phone(BaseModel):
    """One phone number of a contact: given with its country code, or as it is dialled in the organization's country."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"value": "+49 30 1234567"}]})

    type: Literal["work", "mobile", "personal", "other"] = "work"
    value: PhoneNumber
    is_primary: Flag = Field(default=False, description="Of several without one, the first is.")


class Handle(BaseModel):
    """What a contact is called on a network."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"type": "telegram", "value": "@ada_l"}]})

    type: Literal["telegram", "x", "linkedin", "whatsapp", "signal", "github", "website", "other"]
    value: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320, pattern=r"^[^\x00]*$")]


class _Kept(BaseModel):
    type: str
    value: str


class EmailAddressRead(_Kept):
    """One e-mail address."""

    is_primary: bool


class PhoneRead(_Kept):
    """One phone number, as E.164 and as people read it."""

    is_primary: bool

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def shown(self) -> str:
        """The number with blanks."""
        return phones.shown(self.value)


class HandleRead(_Kept):
    """What the contact is called on a network."""


class ContactCreate(BaseModel):
    """A new contact."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    email: EmailStr | None = Field(default=None, description="The primary e-mail address.")
    phone: PhoneNumber | None = Field(
        default=None,
        description="The primary phone number, kept as E.164. Without its country's code it is one of the country of"
        " the organization's time zone.",
    )
    emails: Annotated[list[EmailAddress], Field(max_length=_MOST)] | None = Field(
        default=None,
        description="All of them; `email` is then the primary one. A change replaces the whole list, `null` leaves it.",
    )
    phones: Annotated[list[Phone], Field(max_length=_MOST)] | None = Field(default=None, description="As `emails`.")
    handles: Annotated[list[Handle], Field(max_length=_MOST)] | None = Field(
        default=None, description="What they are called elsewhere."
    )
    company_id: UUID | None = None
    owner_id: UUID | None = Field(default=None, description="A user; default the caller. `null` for nobody.")
    source: Label | None = None
    external_id: ExternalId | None = Field(default=None, description="Its id in another system, unique here.")
    tags: Tags = []
    custom: CustomValues = {}


#: How the lists are answered.
ANSWERED = {
    "emails": list[EmailAddressRead], "phones": list[PhoneRead], "handles": list[HandleRead], "tags": list[str],
}  # fmt: skip
