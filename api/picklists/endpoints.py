"""`/v1/picklists`: what may be chosen."""

from api.edge.dependencies import CurrentCaller, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound
from api.picklists import records
from api.picklists.rules import Picklist
from api.picklists.schemas import PicklistValueRead

router = slice_router(prefix="/picklists", tags=["picklists"])


@router.get("/{name}", responses=problems(NotFound))
async def list_picklist_values(name: str, caller: CurrentCaller, page: Page, unit: Unit) -> PageOf[PicklistValueRead]:
    """Values of one picklist (`source`, `lost_reason`, `industry`) in the order in which they were made."""
    if name not in set(Picklist):
        raise NotFound("picklist")
    values, next_cursor = await read_page(unit, records.VALUES, {"picklist": name}, page=page)
    return PageOf(items=[PicklistValueRead.model_validate(value) for value in values], next_cursor=next_cursor)
