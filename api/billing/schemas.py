"""Bodies of `/v1/billing`."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.billing.plans import Interval
from api.edge.entitlements import Limit
from api.edge.fields import Flag, Whole, body_like

_MOST_SEATS = 10_000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CheckoutCreate(_Body):
    """What to buy."""

    model_config = body_like({"plan": "team", "interval": "month", "seats": 5})

    plan: Literal["team", "business"]
    interval: Interval = Interval.MONTH
    seats: Whole = Field(ge=1, le=_MOST_SEATS)
    pays_usage: Flag = Field(default=False, description="Whether use beyond the plan is paid for, and so allowed.")


class SubscriptionChange(_Body):
    """What to change; what is left out stays."""

    model_config = body_like({"seats": 8})

    plan: Literal["team", "business"] | None = None
    interval: Interval | None = None
    seats: Whole | None = Field(default=None, ge=1, le=_MOST_SEATS)
    cancels_at_period_end: Flag | None = None
    pays_usage: Flag | None = None


class TaxIdCreate(_Body):
    """A tax id to add."""

    model_config = body_like({"kind": "eu_vat", "value": "DE123456789"})

    kind: str = Field(pattern=r"^[a-z]{2}_[a-z_]{2,16}$", description="Stripe's name of it: eu_vat, gb_vat, us_ein …")
    value: str = Field(min_length=1, max_length=64)


class TaxIdRead(_Answer):
    """A tax id that invoices bear."""

    id: str
    kind: str
    value: str
    check: str | None = Field(description="Stripe's: pending, verified, unverified, unavailable; None: not checked.")


class PageAddress(BaseModel):
    """A page of Stripe's to go to."""

    url: str


class PlanRead(BaseModel):
    """A plan of the catalogue."""

    name: str
    title: str
    seat_minor: dict[Interval, int] = Field(description="Price of a seat, in US cents, by how often it is paid.")
    limits: dict[Limit, int] = Field(description="Seats are bought; those named here there are in any case.")
    ceilings: dict[Limit, int] = Field(description="How far use may go beyond the limits where that is paid for.")
    unit_minor: dict[Limit, int] = Field(
        description="Price of what goes beyond, in US cents: of a draft, of an account for a day."
    )


class SubscriptionRead(_Answer):
    """The subscription as it stands."""

    id: UUID
    version: int
    plan: str
    status: str = Field(description="Stripe's: trialing, active, past_due, unpaid, paused, incomplete, canceled …")
    interval: Interval
    seats: int
    monthly_minor: int
    currency: str
    started_at: datetime
    trial_ends_at: datetime | None
    period_ends_at: datetime | None
    cancels_at: datetime | None
    ended_at: datetime | None
    past_due_since: datetime | None
    pays_usage: bool


class UsageRead(BaseModel):
    """What was used beyond the plan this month; it is charged with the next invoices."""

    limit: Limit
    title: str = Field(description="What one of the quantity is.")
    included: int
    quantity: int
    unit_minor: int = Field(description="Price of one, in US cents.")
    cost_minor: int


class BillingRead(BaseModel):
    """What an organization pays for, what that allows, and what is used of it."""

    is_on: bool = Field(description="Whether anything is sold here; where not, everything is allowed.")
    plan: str
    subscription: SubscriptionRead | None
    limits: dict[Limit, int] | None = Field(description="None: no limits.")
    used: dict[Limit, int]
    falls_back_at: datetime | None = Field(description="When the limits become those of the free plan, unless paid.")
    beyond: list[UsageRead] = Field(description="Use beyond the plan, where it is paid for; counted by the hour.")


class InvoiceLine(BaseModel):
    """A line of an invoice."""

    description: str
    quantity: int
    amount_minor: int
    is_proration: bool = Field(description="For a part of a period: seats or plan changed within it.")
    kind: str = Field(
        default="", description="seats, correction, single, or the key of what is sold by use; empty: not known."
    )
    starts_at: datetime
    ends_at: datetime


def _items(lines: Any) -> Any:  # noqa: ANN401 # as the row has them
    return lines["items"] if isinstance(lines, dict) else lines


_Lines = Annotated[list[InvoiceLine], BeforeValidator(_items)]


class InvoiceRead(_Answer):
    """An invoice with its lines."""

    id: UUID
    version: int
    number: str | None
    status: str
    total_minor: int
    tax_minor: int
    discount_minor: int = Field(description="What coupons took off; the total is without it.")
    credited_minor: int = Field(description="What was given back by credit notes after it was made out.")
    paid_minor: int
    currency: str
    seats: int
    payment_attempts: int
    issued_at: datetime
    page_url: str | None
    pdf_url: str | None
    lines: _Lines


class PreviewRead(BaseModel):
    """What the next invoice would be."""

    total_minor: int
    currency: str
    lines: _Lines
