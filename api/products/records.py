"""Statements about products."""

from uuid import UUID

from sqlalchemy import Boolean, Text, bindparam, or_, select

from api.db.statements import compiled, contains
from api.kernel.listing import Listing
from api.kernel.states import only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.organization import Organization
from api.models.product import Product as ProductRow
from api.products.rules import Change, Product, ProductCodeTaken

_products = rows_of(Product, ProductRow)
#: Products, the newest first.
PRODUCTS = Listing(
    _products,
    filters={
        "is_active": ProductRow.is_active == bindparam("is_active", type_=Boolean),
        "q": or_(contains(ProductRow.name, "q"), ProductRow.code.icontains(bindparam("q", type_=Text), escape="/")),
    },
    order=(ProductRow.id,),
    newest_first=True,
)
_READ = compiled(_products.where(ProductRow.id == bindparam("product_id")))
_LOCKED = compiled(_products.where(ProductRow.id == bindparam("product_id")).with_for_update(key_share=True))
_CURRENCY = compiled(select(Organization.currency).where(Organization.organization_id == bindparam("organization_id")))


async def read_product(unit: UnitOfWork, product_id: UUID) -> Product:
    """One product.

    Raises:
        NotFound: there is none.
    """
    return only(Product, await unit.fetch(_READ, product_id=product_id), "product")


async def lock_product(unit: UnitOfWork, product_id: UUID) -> Product:
    """One product, locked.

    Raises:
        NotFound: there is none.
    """
    return only(Product, await unit.fetch(_LOCKED, product_id=product_id), "product")


async def organization_currency(unit: UnitOfWork) -> str:
    """The currency of a product that names none."""
    [row] = await unit.fetch(_CURRENCY)
    return str(row.currency)


def write(unit: UnitOfWork, change: Change) -> None:
    """Queue what was decided."""
    unit.explain({"uq_products_code": lambda: ProductCodeTaken(change.after.code)})
    write_changes(unit, [change], {Product: ProductRow})
