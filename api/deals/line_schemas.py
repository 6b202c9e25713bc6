"""Bodies and answers of the lines of deals."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.edge.fields import MinorAmount, Name

_Quantity = Annotated[
    Decimal, Field(gt=0, le=10**9, max_digits=16, decimal_places=6, description="As a text, to be exact.")
]
_Discount = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]


class LineItem(BaseModel):
    """One line. A product gives the name and, in the deal's currency, the price that are left out."""

    model_config = ConfigDict(extra="forbid")

    id: UUID | None = Field(default=None, description="Of a line that stays; left out, it is new.")
    product_id: UUID | None = None
    name: Name | None = None
    quantity: _Quantity = Decimal(1)
    unit_price_minor: MinorAmount | None = None
    discount_percent: _Discount = Decimal(0)


class LineItems(BaseModel):
    """All lines of a deal, in order."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"items": [{"name": "Set-up", "quantity": "1.5", "unit_price_minor": 90000, "discount_percent": "10"}]}
            ]
        },
    )

    items: Annotated[list[LineItem], Field(max_length=200)]


class LineItemRead(BaseModel):
    """One line and what it comes to, rounded to whole minor units."""

    id: UUID
    product_id: UUID | None
    name: str
    quantity: Decimal
    unit_price_minor: int
    discount_percent: Decimal
    total_minor: int


class LineItemsRead(BaseModel):
    """The lines of a deal; `id` and `version` are the deal's."""

    id: UUID
    version: int
    currency: str
    total_minor: int | None = Field(description="Their sum, and the deal's amount; null where there are none.")
    items: list[LineItemRead]
