"""Teams, a tree per organization, and who was in which when."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Team(Aggregate):
    """One team. Its manager need not be a member."""

    __tablename__ = "teams"
    __audited__ = ("team", ("name", "parent_team_id", "manager_id", "is_active"))

    name: Mapped[str]
    parent_team_id: Mapped[UUID | None]
    manager_id: Mapped[UUID | None]
    is_active: Mapped[bool] = mapped_column(default=True)


class TeamMember(TenantRow):
    """A user's time in a team: half-open, `ended_at` null while it lasts. A user is in one team at a time."""

    __tablename__ = "team_members"
    __audited__ = ("team_member", ("team_id", "user_id", "started_at", "ended_at"))

    team_id: Mapped[UUID]
    user_id: Mapped[UUID]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
