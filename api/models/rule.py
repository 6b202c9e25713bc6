"""Rules, every version of them, what each firing came to, and what rules tell people and others."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Float
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Rule(Aggregate):
    """One rule, as it stands. `is_timed` and `mode` are for the worker, which looks for rules that time sets off."""

    __tablename__ = "rules"

    name: Mapped[str]
    mode: Mapped[str]
    is_timed: Mapped[bool]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    owner_id: Mapped[UUID | None]
    disabled_because: Mapped[str | None]
    deleted_at: Mapped[datetime | None]


class RuleVersion(TenantRow):
    """A rule as it stood from `valid_from` on; an event is judged by the version of when it occurred."""

    __tablename__ = "rule_versions"

    rule_id: Mapped[UUID]
    version: Mapped[int] = mapped_column(BigInteger)
    mode: Mapped[str]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    valid_from: Mapped[datetime]


class RuleWait(TenantRow):
    """An event that sets a rule off once nothing of its kind followed it until `due_at`."""

    __tablename__ = "rule_waits"

    rule_id: Mapped[UUID]
    subject_type: Mapped[str]
    subject_id: Mapped[UUID]
    event_id: Mapped[UUID]
    due_at: Mapped[datetime]


class RuleFigure(TenantRow):
    """A figure that conditions name, from when it was found until the next row; it was so still at `checked_at`."""

    __tablename__ = "rule_figures"

    digest: Mapped[str]
    value: Mapped[float | None] = mapped_column(Float)
    checked_at: Mapped[datetime]


class RuleRun(TenantRow):
    """One firing. `key` is what it fired on: an event, or the stay, the silence or the hour that came to pass."""

    __tablename__ = "rule_runs"

    rule_id: Mapped[UUID]
    rule_version: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str]
    mode: Mapped[str]
    subject_type: Mapped[str]
    subject_id: Mapped[UUID]
    event_id: Mapped[UUID | None]
    fired_at: Mapped[datetime]
    outcome: Mapped[str]
    detail: Mapped[str | None]
    actions: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    score: Mapped[float | None]
    score_model: Mapped[str | None]
    #: The event that says so; what the rule did names it as its cause.
    cause_id: Mapped[UUID | None]


class Notification(TenantRow):
    """Something a person should know."""

    __tablename__ = "notifications"

    user_id: Mapped[UUID]
    text: Mapped[str]
    rule_id: Mapped[UUID | None]
    subject_type: Mapped[str | None]
    subject_id: Mapped[UUID | None]
    read_at: Mapped[datetime | None]


class RuleCall(TenantRow):
    """A request to an address that a rule names, to be sent once it is committed."""

    __tablename__ = "rule_calls"

    rule_id: Mapped[UUID]
    url: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]
