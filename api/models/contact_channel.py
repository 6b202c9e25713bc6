"""Where a contact is reached."""

from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import TenantRow


class ContactChannel(TenantRow):
    """One e-mail address, phone number or handle of a contact; `key` is what two spellings of it have in common.

    The primary e-mail address and phone number are also columns of the contact, kept alike by triggers.
    """

    __tablename__ = "contact_channels"

    contact_id: Mapped[UUID]
    kind: Mapped[str]
    type: Mapped[str]
    value: Mapped[str]
    key: Mapped[str]
    is_primary: Mapped[bool]
    position: Mapped[int] = mapped_column(BigInteger)
