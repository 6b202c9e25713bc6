"""`/v1/search`: anything by a part of what it is called."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.edge.dependencies import CurrentCaller, Unit
from api.edge.fields import SearchText
from api.edge.pages import PageOf
from api.edge.routing import slice_router
from api.kernel.visibility import owners_seen
from api.search import records

router = slice_router(prefix="/search", tags=["search"])


class Found(BaseModel):
    """A record that is like what was asked for."""

    model_config = ConfigDict(from_attributes=True)

    kind: str = Field(examples=["contact"])
    id: UUID
    title: str
    detail: str | None
    score: float = Field(description="How like it is, from 0 to 1.")


@router.get("")
async def search(
    caller: CurrentCaller,
    unit: Unit,
    q: Annotated[SearchText, Query(description="Words in any order, typos allowed, or digits of a phone number.")],
    kind: Literal["contact", "company", "deal"] | None = None,
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
) -> PageOf[Found]:
    """Find contacts, companies and deals that you see, the most alike first."""
    only = [kind] if kind else records.KINDS
    rows = await records.search(unit, q, only=only, owners=await owners_seen(unit, caller), limit=limit)
    return PageOf(items=[Found.model_validate(row) for row in rows], next_cursor=None)
