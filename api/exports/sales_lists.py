"""Products, and the lines of deals, as lists to export."""

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


def _unit_price(row: Row) -> str | None:
    return major_units(row.unit_price_minor, row.currency)


PRODUCTS = ExportedList(
    listing_of(_products, Product.id),
    ("code", "name", "unit_price", "currency", "is_active"),
    {"unit_price": _unit_price},
)
LINE_ITEMS = ExportedList(
    listing_of(_lines, DealLine.deal_id, DealLine.position, DealLine.id, owner=Deal.owner_id),
    ("deal_external_id", "product_code", "product", "name", "quantity", "unit_price", "currency", "discount_percent"),
    {
        "unit_price": _unit_price,
        "quantity": lambda row: unmistakable(str(plain(row.quantity))),
        "discount_percent": lambda row: unmistakable(str(plain(row.discount_percent))),
    },
)
