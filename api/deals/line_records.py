"""Statements about the lines of deals. Whoever writes them holds the deal."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, delete, select

from api.db.statements import Bound, compiled, is_one_of
from api.deals.lines import Line, plain
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.product import DealLine, Product

_organization: BindParameter[UUID] = bindparam("organization_id")
_LINES = compiled(
    select(DealLine)
    .where(DealLine.organization_id == _organization, DealLine.deal_id == bindparam("deal_id"))
    .order_by(DealLine.position)
)
_LINES_OF_MANY = compiled(
    select(DealLine)
    .where(DealLine.organization_id == _organization, is_one_of(DealLine.deal_id, "deal_ids"))
    .order_by(DealLine.deal_id, DealLine.position),
    is_prepared=False,
)
_PRODUCTS = compiled(
    select(Product.id, Product.name, Product.unit_price_minor, Product.currency, Product.is_active).where(
        Product.organization_id == _organization, is_one_of(Product.id, "product_ids")
    )
)
_CLEAR = compiled(
    delete(DealLine).where(DealLine.organization_id == _organization, DealLine.deal_id == bindparam("deal_id"))
)


def lines_of(deal_id: UUID) -> Bound:
    """The statement that answers a deal's lines, in order."""
    return _LINES.bind(deal_id=deal_id)


async def lines_of_many(unit: UnitOfWork, deal_ids: Sequence[UUID]) -> dict[UUID, list[Line]]:
    """The lines of deals that have some, in order."""
    found: dict[UUID, list[Row]] = {}
    for row in await unit.fetch(_LINES_OF_MANY, deal_ids=list(deal_ids)):
        found.setdefault(row.deal_id, []).append(row)
    return {deal_id: as_lines(rows) for deal_id, rows in found.items()}


def products_named(product_ids: Iterable[UUID | None]) -> Bound:
    """The statement that answers the products that lines name."""
    return _PRODUCTS.bind(product_ids=[one for one in product_ids if one is not None])


def as_lines(rows: Sequence[Row]) -> list[Line]:
    """Rows as the rules see them."""
    return [
        Line(
            id=row.id,
            product_id=row.product_id,
            name=row.name,
            quantity=plain(row.quantity),
            unit_price_minor=row.unit_price_minor,
            discount_percent=plain(row.discount_percent),
        )
        for row in rows
    ]


def replace_lines(unit: UnitOfWork, deal_id: UUID, lines: Sequence[Line]) -> None:
    """Queue that a deal has these lines and no others."""
    unit.execute(_CLEAR, deal_id=deal_id)
    rows: list[dict[str, Any]] = [
        {
            "id": line.id,
            "created_at": unit.now,
            "deal_id": deal_id,
            "position": place,
            "product_id": line.product_id,
            "name": line.name,
            "quantity": str(line.quantity),
            "unit_price_minor": line.unit_price_minor,
            "discount_percent": str(line.discount_percent),
            "total_minor": line.total_minor,
        }
        for place, line in enumerate(lines)
    ]
    if rows:
        unit.insert(DealLine, *rows)
