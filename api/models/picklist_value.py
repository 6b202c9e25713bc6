"""Values of an organization's picklists, for example of `source`, `lost_reason` and `industry`."""

from sqlalchemy.orm import Mapped

from api.models.base import TenantRow


class PicklistValue(TenantRow):
    """One value. Events carry its id, people see its label."""

    __tablename__ = "picklist_values"

    picklist: Mapped[str]
    label: Mapped[str]
