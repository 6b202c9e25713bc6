"""Campaigns, whom they write to, each step for each of them, and who agreed to be written to."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Campaign(Aggregate):
    """One campaign. `steps`, `hours` and `pace` are documents; `filter` is the audience, as lists take it."""

    __tablename__ = "campaigns"
    __audited__ = ("campaign", ("state", "legal_basis"))

    name: Mapped[str]
    state: Mapped[str]
    owner_id: Mapped[UUID]
    legal_basis: Mapped[str | None]
    basis_note: Mapped[str | None]
    view_id: Mapped[UUID | None]
    filter: Mapped[list[Any]] = mapped_column(JSONB)
    account_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid(as_uuid=True)))
    steps: Mapped[list[Any]] = mapped_column(JSONB)
    hours: Mapped[dict[str, Any]] = mapped_column(JSONB)
    pace: Mapped[dict[str, Any]] = mapped_column(JSONB)
    stops_company: Mapped[bool]
    away_days: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class CampaignRecipient(Aggregate):
    """One person of a campaign's audience. `step` is the place of the next one; `reason` says why they are excluded."""

    __tablename__ = "campaign_recipients"

    campaign_id: Mapped[UUID]
    contact_id: Mapped[UUID]
    company_id: Mapped[UUID | None]
    deal_id: Mapped[UUID | None]
    state: Mapped[str]
    ending: Mapped[str | None]
    reason: Mapped[str | None]
    step: Mapped[int] = mapped_column(BigInteger)
    due_at: Mapped[datetime | None]
    touch_id: Mapped[UUID | None]
    replied_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class CampaignTouch(TenantRow):
    """One step for one recipient: at most one row, whatever happens."""

    __tablename__ = "campaign_touches"

    campaign_id: Mapped[UUID]
    recipient_id: Mapped[UUID]
    step: Mapped[int] = mapped_column(BigInteger)
    variant: Mapped[str]
    state: Mapped[str]
    channel: Mapped[str | None]
    account_id: Mapped[UUID | None]
    conversation_id: Mapped[UUID | None]
    message_id: Mapped[UUID | None]
    task_id: Mapped[UUID | None]
    failure: Mapped[str | None]
    sent_at: Mapped[datetime | None]


class Consent(TenantRow):
    """That somebody agreed to be written to: how, when, and until when."""

    __tablename__ = "consents"

    contact_id: Mapped[UUID]
    source: Mapped[str]
    given_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    noted_by: Mapped[UUID | None]
