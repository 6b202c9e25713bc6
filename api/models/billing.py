"""Who pays, for what, and which invoices there were: Stripe's objects as they stood when we last looked."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, Base, TenantRow


class BillingCustomer(TenantRow):
    """By what Stripe knows an organization."""

    __tablename__ = "billing_customers"

    provider_customer_id: Mapped[str]


class Subscription(Aggregate):
    """A subscription; an organization has one that has not ended, at most."""

    __tablename__ = "subscriptions"

    provider_subscription_id: Mapped[str]
    provider_item_id: Mapped[str]
    plan: Mapped[str]
    status: Mapped[str]
    interval: Mapped[str]
    seats: Mapped[int] = mapped_column(BigInteger)
    monthly_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    started_at: Mapped[datetime]
    trial_ends_at: Mapped[datetime | None]
    period_ends_at: Mapped[datetime | None]
    cancels_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    past_due_since: Mapped[datetime | None]
    pays_usage: Mapped[bool] = mapped_column(server_default="false")
    usage_since: Mapped[datetime | None]
    looked_at: Mapped[datetime]


class Invoice(Aggregate):
    """An invoice, with its lines."""

    __tablename__ = "invoices"

    provider_invoice_id: Mapped[str]
    subscription_id: Mapped[UUID | None]
    number: Mapped[str | None]
    status: Mapped[str]
    total_minor: Mapped[int] = mapped_column(BigInteger)
    tax_minor: Mapped[int] = mapped_column(BigInteger)
    paid_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    seats: Mapped[int] = mapped_column(BigInteger)
    payment_attempts: Mapped[int] = mapped_column(BigInteger)
    discount_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    credited_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    issued_at: Mapped[datetime]
    page_url: Mapped[str | None]
    pdf_url: Mapped[str | None]
    lines: Mapped[dict[str, Any]] = mapped_column(JSONB)
    looked_at: Mapped[datetime]


class Entitlement(TenantRow):
    """What the plan allows, and from when on only `fallback`. Its id is the organization's."""

    __tablename__ = "entitlements"

    limits: Mapped[dict[str, int]] = mapped_column(JSONB)
    fallback: Mapped[dict[str, int]] = mapped_column(JSONB)
    falls_back_at: Mapped[datetime | None]


class UsageReport(TenantRow):
    """What was used beyond the plan in an hour or on a day; `stamped_at` is when it was used as Stripe has it."""

    __tablename__ = "usage_reports"

    meter: Mapped[str]
    starts_at: Mapped[datetime]
    quantity: Mapped[int] = mapped_column(BigInteger)
    stamped_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]


class StripeEvent(Base):
    """What Stripe delivered, before it is known whose it is. One row per event, however often it came."""

    __tablename__ = "stripe_events"

    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    object_id: Mapped[str]
    customer_id: Mapped[str | None]
    body: Mapped[bytes]
    signature: Mapped[str | None]
    api_version: Mapped[str | None]
    received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(BigInteger, default=0)
    done_at: Mapped[datetime | None]
    problem: Mapped[str | None]
