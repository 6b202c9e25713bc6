"""Accounts through which people are written to, who works with them, and what providers let them feel."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class BdAccount(Aggregate):
    """One account at a provider. `secret` is sealed; `epoch` tells the connector that holds it from those before."""

    __tablename__ = "bd_accounts"

    channel: Mapped[str]
    name: Mapped[str]
    address: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    until: Mapped[datetime | None]
    user_id: Mapped[UUID | None]
    team_id: Mapped[UUID | None]
    daily_limit: Mapped[int] = mapped_column(BigInteger)
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    secret: Mapped[bytes | None]
    connected_at: Mapped[datetime | None]
    epoch: Mapped[int] = mapped_column(BigInteger)
    lease_holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    cursor: Mapped[dict[str, Any]] = mapped_column(JSONB)
    news_at: Mapped[datetime | None]


class BdAccountAssignment(TenantRow):
    """Who works with an account when: half-open, `ended_at` null while it lasts."""

    __tablename__ = "bd_account_assignments"

    account_id: Mapped[UUID]
    user_id: Mapped[UUID | None]
    team_id: Mapped[UUID | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class BdAccountSign(TenantRow):
    """What a provider let an account feel: a flood wait, a block, a restriction."""

    __tablename__ = "bd_account_signs"

    account_id: Mapped[UUID]
    kind: Mapped[str]
    seconds: Mapped[int | None] = mapped_column(BigInteger)


class BdAccountDay(TenantRow):
    """What the provider had of a day, and what became of it; `healed` counts what was missing and came later."""

    __tablename__ = "bd_account_days"

    account_id: Mapped[UUID]
    day: Mapped[date]
    provider: Mapped[int] = mapped_column(BigInteger)
    stored: Mapped[int] = mapped_column(BigInteger)
    missing: Mapped[int] = mapped_column(BigInteger)
    filtered: Mapped[dict[str, Any]] = mapped_column(JSONB)
    failed: Mapped[dict[str, Any]] = mapped_column(JSONB)
    healed: Mapped[int] = mapped_column(BigInteger)
    #: Of the newest event; none where nothing was told of it yet.
    version: Mapped[int] = mapped_column(BigInteger)
    checked_at: Mapped[datetime]


class XDelivery(TenantRow):
    """What X delivered for an account, by its digest, to know it again."""

    __tablename__ = "x_deliveries"

    account_id: Mapped[UUID]
    digest: Mapped[bytes]
