"""The body that makes a contact."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field
from pydantic.config import JsonDict

from api.edge.fields import CustomValues, ExternalId, Label, Name, PhoneNumber

_EXAMPLE: JsonDict = {
    "name": "Ada Lovelace",
    "email": "ada@acme.example",
    "phone": "+49 30 1234567",
    "source": "Website",
}


class ContactCreate(BaseModel):
    """A new contact."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    email: EmailStr | None = None
    phone: PhoneNumber | None = None
    company_id: UUID | None = None
    owner_id: UUID | None = Field(default=None, description="A user; default the caller. `null` for nobody.")
    source: Label | None = None
    external_id: ExternalId | None = Field(default=None, description="Its id in another system, unique here.")
    custom: CustomValues = {}
