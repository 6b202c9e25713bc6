"""Tasks."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped

from api.models.base import Aggregate


class Task(Aggregate):
    """One thing to do. `series_start` is the due date of the first task of a recurrence, from which all are counted."""

    __tablename__ = "tasks"

    title: Mapped[str]
    body: Mapped[str | None]
    due_at: Mapped[datetime | None]
    remind_at: Mapped[datetime | None]
    recurrence: Mapped[str | None]
    series_start: Mapped[datetime | None]
    assignee_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
    deal_id: Mapped[UUID | None]
    contact_id: Mapped[UUID | None]
    company_id: Mapped[UUID | None]
    completed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
