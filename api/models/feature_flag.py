"""Feature flags: what an owner has turned on or off."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import TenantRow


class FeatureFlag(TenantRow):
    """One flag of one organization; without a row it is on."""

    __tablename__ = "feature_flags"

    flag: Mapped[str]
    is_on: Mapped[bool]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
