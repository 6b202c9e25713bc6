"""`/v1/tags`: the tags that there are, and how many records bear each."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BindParameter, bindparam, delete, func, select

from api.db.statements import compiled
from api.edge.dependencies import Administrator, CurrentCaller, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.models.tag import RecordTag, Tag

router = slice_router(prefix="/tags", tags=["tags"])

_organization: BindParameter[UUID] = bindparam("organization_id")
_used = (
    select(func.count())
    .where(RecordTag.organization_id == Tag.organization_id, RecordTag.tag_id == Tag.id)
    .scalar_subquery()
)
_tags: Any = select(Tag.id, Tag.name, Tag.created_at, _used.label("records"))
_TAGS = Listing(_tags.where(Tag.organization_id == _organization), filters={}, order=(Tag.id,))
_DELETE = compiled(
    delete(Tag).where(Tag.organization_id == _organization, Tag.id == bindparam("tag_id")).returning(Tag.id)
)


class TagRead(BaseModel):
    """A tag."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str = Field(examples=["renewal"])
    records: int = Field(description="How many records bear it.")
    created_at: datetime


@router.get("")
async def list_tags(caller: CurrentCaller, unit: Unit, page: Page) -> PageOf[TagRead]:
    """List the tags, oldest first."""
    rows, cursor = await read_page(unit, _TAGS, {}, page=page)
    return PageOf(items=[TagRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.delete("/{tag_id}", status_code=204, responses=problems(NotFound))
async def delete_tag(tag_id: UUID, caller: Administrator, unit: Unit) -> None:
    """Take a tag off every record that bears it."""
    if not await unit.fetch(_DELETE, tag_id=tag_id):
        raise NotFound("tag")
