"""Imports, and what was wrong with their rows."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class ImportJob(Aggregate):
    """One import: what was asked, how far it is. `steps_done` transactions of its plan are committed."""

    __tablename__ = "imports"

    created_by: Mapped[UUID | None]
    state: Mapped[str]
    options: Mapped[dict[str, Any]] = mapped_column(JSONB)
    files: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    progress: Mapped[dict[str, dict[str, int]]] = mapped_column(JSONB)
    warnings: Mapped[list[str]] = mapped_column(JSONB)
    error: Mapped[str | None]
    steps_done: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    claim: Mapped[UUID | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    __mapper_args__ = {"version_id_col": None}


class ImportProblem(TenantRow):
    """One thing wrong with one row of a file. The row itself is read from the file again when somebody asks."""

    __tablename__ = "import_problems"

    import_id: Mapped[UUID]
    file_index: Mapped[int]
    row_number: Mapped[int] = mapped_column(BigInteger)
    field: Mapped[str]
    value: Mapped[str]
    problem: Mapped[str]
    fix: Mapped[str]
