"""Stages of pipelines."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Stage(Aggregate):
    """One stage. Known by id and kind, never by name; a retired one keeps its row, because histories refer to it."""

    __tablename__ = "stages"
    __audited__ = ("stage", ("pipeline_id", "name", "kind", "position", "target_days", "is_retired"))

    pipeline_id: Mapped[UUID]
    name: Mapped[str]
    kind: Mapped[str]
    position: Mapped[int]
    target_days: Mapped[int | None]
    is_retired: Mapped[bool] = mapped_column(default=False)
