"""Saved views of lists."""

from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class View(Aggregate):
    """A filter, a sort and columns that somebody keeps. Nobody counts views: their changes are no events."""

    __tablename__ = "views"

    name: Mapped[str]
    record_kind: Mapped[str]
    filter: Mapped[list[Any]] = mapped_column(JSONB)
    sort: Mapped[str | None]
    columns: Mapped[list[str]] = mapped_column(JSONB)
    owner_id: Mapped[UUID]
    team_id: Mapped[UUID | None]
    is_shared: Mapped[bool]
