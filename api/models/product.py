"""Products, and the lines of deals that sell them."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Product(Aggregate):
    """One product. Its price is what a new line begins with."""

    __tablename__ = "products"
    __audited__ = ("product", ("name", "code", "unit_price_minor", "currency", "is_active"))

    name: Mapped[str]
    code: Mapped[str | None]
    unit_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str]
    is_active: Mapped[bool]


class DealLine(TenantRow):
    """One line of a deal, in the deal's currency. `total_minor` is rounded; the lines' sum is the deal's amount."""

    __tablename__ = "deal_lines"

    deal_id: Mapped[UUID]
    position: Mapped[int] = mapped_column(BigInteger)
    product_id: Mapped[UUID | None]
    name: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(Numeric)
    unit_price_minor: Mapped[int] = mapped_column(BigInteger)
    discount_percent: Mapped[Decimal] = mapped_column(Numeric)
    total_minor: Mapped[int] = mapped_column(BigInteger)
