"""`/v1/products`: what is sold. Everybody reads it, administrators and managers keep it."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from api.db.statements import as_pattern
from api.edge.dependencies import CurrentCaller, IfMatch, RecordWriter, Unit
from api.edge.fields import SearchText
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.changes import expect
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.products import records, rules
from api.products.schemas import ProductCreate, ProductRead, ProductUpdate

router = slice_router(prefix="/products", tags=["products"])


@router.post("", status_code=201, responses=problems(rules.ProductCodeTaken))
async def create_product(body: ProductCreate, caller: RecordWriter, unit: Unit, response: Response) -> ProductRead:
    """Create a product."""
    given = body.model_dump()
    given["currency"] = body.currency or await records.organization_currency(unit)
    change = rules.create(given, now=unit.now)
    records.write(unit, change)
    response.headers["Location"] = f"/v1/products/{change.after.id}"
    return ProductRead.model_validate(change.after)


@router.get("")
async def list_products(
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    is_active: bool | None = None,
    q: Annotated[SearchText | None, Query(description="Part of the name or the code, in any case.")] = None,
) -> PageOf[ProductRead]:
    """List the products, newest first."""
    given = {"is_active": is_active, "q": as_pattern(q) if q else None}
    rows, cursor = await read_page(unit, records.PRODUCTS, given, page=page)
    return PageOf(items=[ProductRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{product_id}", responses=problems(NotFound))
async def read_product(product_id: UUID, caller: CurrentCaller, unit: Unit) -> ProductRead:
    """Read a product."""
    return ProductRead.model_validate(await records.read_product(unit, product_id))


@router.patch(
    "/{product_id}",
    responses=problems(NotFound, PreconditionFailed, PreconditionRequired, rules.ProductCodeTaken),
)
async def update_product(
    product_id: UUID, body: ProductUpdate, caller: RecordWriter, unit: Unit, if_match: IfMatch
) -> ProductRead:
    """Change a product. Lines of deals that sell it stay as they are."""
    product = expect(await records.lock_product(unit, product_id), "product", version=if_match)
    change = rules.update(product, body.model_dump(exclude_unset=True), now=unit.now)
    if change is not None:
        records.write(unit, change)
    return ProductRead.model_validate(change.after if change else product)
