"""Pipelines."""

from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Pipeline(Aggregate):
    """One pipeline. Its row is locked by every change of its stages."""

    __tablename__ = "pipelines"
    __audited__ = ("pipeline", ("name", "is_active"))

    name: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
