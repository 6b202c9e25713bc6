"""Stages of pipelines."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Stage(Aggregate):
    """One stage. Known by id and kind, never by name; a retired one keeps its row, because histories refer to it."""

    __tablename__ = "stages"
    __audited__ = (
        "stage",
        ("pipeline_id", "name", "kind", "position", "target_days", "entry_fields", "exit_fields", "is_retired"),
    )

    pipeline_id: Mapped[UUID]
    name: Mapped[str]
    kind: Mapped[str]
    position: Mapped[int]
    target_days: Mapped[int | None]
    #: Fields of a deal that must be set before it enters, and before it leaves.
    entry_fields: Mapped[list[str]] = mapped_column(JSONB, default=list)
    exit_fields: Mapped[list[str]] = mapped_column(JSONB, default=list)
    is_retired: Mapped[bool] = mapped_column(default=False)
