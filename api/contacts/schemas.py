"""Bodies and answers of contacts."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field, model_validator
from pydantic.config import JsonDict

from api.edge.fields import ExternalId, Label, Name, PhoneNumber

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


class ContactUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"phone": "+49 30 7654321"}]})

    name: Name | None = None
    email: EmailStr | None = None
    phone: PhoneNumber | None = None
    company_id: UUID | None = None
    owner_id: UUID | None = None
    source: Label | None = None
    external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _keep_the_name(self) -> Self:
        if "name" in self.model_fields_set and self.name is None:
            raise ValueError("name must not be null")
        return self


class ContactRead(BaseModel):
    """A contact."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                _EXAMPLE
                | {
                    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
                    "version": 1,
                    "company_id": None,
                    "owner_id": None,
                    "external_id": None,
                    "created_at": "2026-05-01T09:30:00Z",
                    "updated_at": "2026-05-01T09:30:00Z",
                }
            ]
        },
    )

    id: UUID
    version: int
    name: str
    email: str | None
    phone: str | None
    company_id: UUID | None
    owner_id: UUID | None
    source: str | None
    external_id: str | None
    created_at: datetime
    updated_at: datetime
