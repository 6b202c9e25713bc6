"""`/v1/picklists`: what may be chosen."""

from sqlalchemy import select

from api.edge.dependencies import CurrentCaller, Session
from api.edge.pages import Page, PageOf, fetch_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound
from api.models.picklist_value import PicklistValue
from api.picklists.schemas import PicklistValueRead
from api.picklists.service import Picklist

router = slice_router(prefix="/picklists", tags=["picklists"])


@router.get("/{name}", responses=problems(NotFound))
async def list_picklist_values(
    name: str, caller: CurrentCaller, page: Page, session: Session
) -> PageOf[PicklistValueRead]:
    """Values of one picklist (`source`, `lost_reason`, `industry`) in the order in which they were made."""
    if name not in set(Picklist):
        raise NotFound("picklist")
    query = select(PicklistValue).where(
        PicklistValue.organization_id == caller.organization_id, PicklistValue.picklist == name
    )
    values, next_cursor = await fetch_page(session, query, page=page, id_column=PicklistValue.id)
    items = [PicklistValueRead.model_validate(value) for value in values]
    return PageOf(items=items, next_cursor=next_cursor)
