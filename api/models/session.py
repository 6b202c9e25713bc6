"""Sign-ins: one row per family of refresh tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import TenantRow


class SignIn(TenantRow):
    """One sign-in. Refresh token number `generation` is the active one; an older one that returns ends the sign-in."""

    __tablename__ = "sessions"
    __audited__ = ("sign_in", ("user_id", "address", "user_agent", "has_second_factor", "revoked_because"))

    user_id: Mapped[UUID]
    generation: Mapped[int] = mapped_column(default=1)
    rotated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_because: Mapped[str | None]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    has_second_factor: Mapped[bool] = mapped_column(default=False)

    __mapper_args__ = {"eager_defaults": True}
