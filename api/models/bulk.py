"""Bulk changes, and what became of each deal of one."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class BulkJob(Aggregate):
    """One bulk change. `state`: running, stopped, done, undoing, undone."""

    __tablename__ = "bulk_jobs"
    __audited__ = ("bulk_job", ("kind", "filter", "action", "run_rules", "total", "state"))

    created_by: Mapped[UUID]
    kind: Mapped[str]
    filter: Mapped[list[Any]] = mapped_column(JSONB)
    action: Mapped[dict[str, Any]] = mapped_column(JSONB)
    run_rules: Mapped[bool]
    total: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    completed_at: Mapped[datetime | None]


class BulkItem(TenantRow):
    """A record of a bulk change: `deal_id`, or `record_id` of another kind.

    `status`: waiting, done, unchanged, failed, undone, left.
    """

    __tablename__ = "bulk_items"

    job_id: Mapped[UUID]
    deal_id: Mapped[UUID | None]
    record_id: Mapped[UUID | None]
    status: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    version_after: Mapped[int | None] = mapped_column(BigInteger)
    problem: Mapped[str | None]
