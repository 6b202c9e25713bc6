"""Bodies and answers of organizations."""

from datetime import datetime
from functools import cache
from typing import Annotated
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from api.edge.fields import CurrencyCode, Flag, Name


@cache
def _zones() -> frozenset[str]:
    # "localtime" and the like mean something else on every machine
    return frozenset(zone for zone in available_timezones() if "/" in zone or zone in {"UTC", "GMT"})


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("is not an IANA time zone such as Europe/Berlin")
    return name


TimeZone = Annotated[
    str, AfterValidator(_known_zone), Field(max_length=64, description="IANA name.", examples=["Europe/Berlin"])
]
WeekStart = Annotated[int, Field(strict=True, ge=1, le=7, description="ISO weekday; 1 is Monday.")]
FiscalMonth = Annotated[int, Field(strict=True, ge=1, le=12, description="Month in which the fiscal year starts.")]

_EXAMPLE: dict[str, JsonValue] = {
    "name": "Acme",
    "time_zone": "Europe/Berlin",
    "currency": "EUR",
    "week_start": 1,
    "fiscal_year_start_month": 1,
}


class OrganizationSettings(BaseModel):
    """How an organization counts."""

    time_zone: TimeZone = "UTC"
    currency: CurrencyCode = "EUR"
    week_start: WeekStart = 1
    fiscal_year_start_month: FiscalMonth = 1


class OrganizationUpdate(BaseModel):
    """The settings to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"time_zone": "Asia/Kathmandu"}]})

    # a default is never applied: only fields that were sent count, and none of them takes null
    name: Name = ""
    time_zone: TimeZone = ""
    currency: CurrencyCode = ""
    week_start: WeekStart = 1
    fiscal_year_start_month: FiscalMonth = 1
    requires_second_factor: Flag = Field(
        default=False, description="Whether people who have no second factor can do nothing but set one up."
    )


class OrganizationRead(BaseModel):
    """An organization."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [_EXAMPLE | {"id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f", "version": 1}]},
    )

    id: UUID
    version: int
    name: str
    time_zone: str
    currency: str
    week_start: int
    fiscal_year_start_month: int
    requires_second_factor: bool = False
    created_at: datetime
    updated_at: datetime
