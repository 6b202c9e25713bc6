"""Statements about products."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Boolean, Text, bindparam, func, or_, select

from api.db.statements import compiled, contains, is_one_of
from api.kernel.listing import Listing
from api.kernel.states import as_states, only, rows_of
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
_NAMED = compiled(
    _products.where(
        or_(is_one_of(func.lower(ProductRow.name), "names"), is_one_of(func.lower(ProductRow.code), "codes"))
    )
    .order_by(ProductRow.id)
    .with_for_update(key_share=True),
    is_prepared=False,
)
_CURRENCY = compiled(select(Organization.currency).where(Organization.organization_id == bindparam("organization_id")))


async def lock_named(unit: UnitOfWork, names: Iterable[str], codes: Iterable[str]) -> list[Product]:
    """The products that have one of these names or codes, in any case; locked, the oldest first."""
    asked = {"names": sorted({one.lower() for one in names}), "codes": sorted({one.lower() for one in codes})}
    return as_states(Product, await unit.fetch(_NAMED, **asked))


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
    write_many(unit, [change])


def write_many(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what was decided of several."""
    write_changes(unit, changes, {Product: ProductRow})
