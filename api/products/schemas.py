"""Bodies and answers of products."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.edge.fields import CurrencyCode, Flag, MinorAmount, Name, ShortName


class ProductCreate(BaseModel):
    """A new product."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "Seat, a year", "code": "SEAT-1Y", "unit_price_minor": 12000, "currency": "EUR"}]
        },
    )

    name: Name
    code: ShortName | None = Field(default=None, description="Unique here, in any case.")
    unit_price_minor: MinorAmount | None = Field(default=None, description="Left out: each line says its own.")
    currency: CurrencyCode | None = Field(default=None, description="Default the organization's.")
    is_active: Flag = True


class ProductUpdate(ProductCreate):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"is_active": False}]})

    name: Name = ""

    @model_validator(mode="after")
    def _keep_what_a_product_must_have(self) -> Self:
        for name in ("name", "currency"):
            if name in self.model_fields_set and not getattr(self, name):
                raise ValueError(f"{name} must not be empty")
        return self


class ProductRead(BaseModel):
    """A product."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    code: str | None
    unit_price_minor: int | None
    currency: str
    is_active: bool
    created_at: datetime
    updated_at: datetime
