"""Bodies and answers of companies."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from api.edge.fields import Count, CountryCode, ExternalId, Label, Name, ShortText

_EXAMPLE: JsonDict = {"name": "Acme GmbH", "domain": "acme.example", "industry": "Software", "country": "DE"}


class CompanyCreate(BaseModel):
    """A new company."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE | {"employee_count": 400}]})

    name: Name
    domain: ShortText | None = Field(default=None, description="Its web domain.")
    industry: Label | None = None
    employee_count: Count | None = None
    country: CountryCode | None = None
    owner_id: UUID | None = Field(default=None, description="A user; default the caller. `null` for nobody.")
    external_id: ExternalId | None = Field(default=None, description="Its id in another system, unique here.")


class CompanyUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"employee_count": 420}]})

    name: Name | None = None
    domain: ShortText | None = None
    industry: Label | None = None
    employee_count: Count | None = None
    country: CountryCode | None = None
    owner_id: UUID | None = None
    external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _keep_the_name(self) -> Self:
        if "name" in self.model_fields_set and self.name is None:
            raise ValueError("name must not be null")
        return self


class CompanyRead(BaseModel):
    """A company."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                _EXAMPLE
                | {
                    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
                    "version": 1,
                    "employee_count": 400,
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
    domain: str | None
    industry: str | None
    employee_count: int | None
    country: str | None
    owner_id: UUID | None
    external_id: str | None
    created_at: datetime
    updated_at: datetime
