"""Rules of distribution, and whom each of their choices fell on."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class DistributionRule(Aggregate):
    """One rule. `credits` are its members' turns so far: written with each choice, no change of the rule."""

    __tablename__ = "distribution_rules"
    __audited__ = (
        "distribution_rule",
        ("name", "position", "pipeline_id", "source_id", "method", "members", "is_automatic", "is_active"),
    )

    name: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
    pipeline_id: Mapped[UUID | None]
    source_id: Mapped[UUID | None]
    method: Mapped[str]
    members: Mapped[list[Any]] = mapped_column(JSONB)
    working_hours: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    fallback_user_id: Mapped[UUID | None]
    is_automatic: Mapped[bool]
    is_active: Mapped[bool]
    credits: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Distribution(TenantRow):
    """One choice: the rule as it was, whom it fell on (nobody: the deal waits), and why, in ids and numbers."""

    __tablename__ = "distributions"

    rule_id: Mapped[UUID]
    rule_version: Mapped[int] = mapped_column(BigInteger)
    deal_id: Mapped[UUID]
    user_id: Mapped[UUID | None]
    outcome: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
