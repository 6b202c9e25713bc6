"""Custom fields, and the values of theirs that are to be unique."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class CustomField(Aggregate):
    """One field that an organization added to a kind of records. `choices` are ids and labels, in order.

    `computing_*`: how far the records of its kind are computed anew, since which transaction, and after which record.
    """

    __tablename__ = "custom_fields"

    record_kind: Mapped[str]
    name: Mapped[str]
    type: Mapped[str]
    choices: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    is_required: Mapped[bool]
    is_unique: Mapped[bool]
    is_personal: Mapped[bool]
    is_retired: Mapped[bool]
    expression: Mapped[str | None]
    position: Mapped[int] = mapped_column(BigInteger)
    computing_since: Mapped[int | None] = mapped_column(BigInteger)
    computing_after: Mapped[UUID | None]
    computing_done: Mapped[int] = mapped_column(BigInteger)
    computing_total: Mapped[int | None] = mapped_column(BigInteger)


class CustomUniqueValue(TenantRow):
    """A value that one record of a kind has. Those of deleted records are kept for them."""

    __tablename__ = "custom_unique_values"

    record_kind: Mapped[str]
    record_id: Mapped[UUID]
    field_id: Mapped[UUID]
    value: Mapped[str]
