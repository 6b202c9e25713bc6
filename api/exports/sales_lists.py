"""Products, and the lines of deals, as lists to export."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from api.deals.lines import plain
from api.exports.parts import ORGANIZATION, ExportedList, is_row, listing_of, major_units, own_id, unmistakable
from api.kernel.unit_of_work import Row
from api.models.deal import Deal
from api.models.product import DealLine, Product

_products = select(
    Product.id, Product.code, Product.name, Product.unit_price_minor, Product.currency, Product.is_active
).where(Product.organization_id == ORGANIZATION)
_lines = (
    select(
        DealLine.id,
        DealLine.deal_id,
        DealLine.position,
        own_id(Deal).label("deal_external_id"),
        Product.code.label("product_code"),
        Product.name.label("product"),
        DealLine.name,
        DealLine.quantity,
        DealLine.unit_price_minor,
        Deal.currency,
        DealLine.discount_percent,
    )
    .join(Deal, is_row(Deal, DealLine, DealLine.deal_id))
    .outerjoin(Product, is_row(Product, DealLine, DealLine.product_id))
    .where(DealLine.organization_id == ORGANIZATION, Deal.deleted_at.is_(None))
)


def _priced(row: Row) -> Mapping[str, Any]:
    return {**row._asdict(), "unit_price": major_units(row.unit_price_minor, row.currency)}


def _line(row: Row) -> Mapping[str, Any]:
    numbers = {name: unmistakable(str(plain(getattr(row, name)))) for name in ("quantity", "discount_percent")}
    return {**_priced(row), **numbers}


PRODUCTS = ExportedList(
    listing_of(_products, Product.id), ("code", "name", "unit_price", "currency", "is_active"), _priced
)
LINE_ITEMS = ExportedList(
    listing_of(_lines, DealLine.deal_id, DealLine.position, DealLine.id, owner=Deal.owner_id),
    ("deal_external_id", "product_code", "product", "name", "quantity", "unit_price", "currency", "discount_percent"),
    _line,
)
