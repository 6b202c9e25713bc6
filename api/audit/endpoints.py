"""`/v1/audit`: who did what, from where, newest first."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from api.audit import records
from api.audit.schemas import AuditEntryRead
from api.edge.dependencies import Administrator, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import slice_router

router = slice_router(prefix="/audit", tags=["audit"])


@router.get("")
async def list_audit_entries(
    caller: Administrator,
    unit: Unit,
    page: Page,
    action: Annotated[str | None, Query(max_length=100, description="For example sign_in.failed.")] = None,
    actor_id: UUID | None = None,
    resource_id: UUID | None = None,
) -> PageOf[AuditEntryRead]:
    """List what was done: sign-ins and failed ones, changes of users, teams, keys, pipelines and settings."""
    given = {"action": action, "actor_id": actor_id, "resource_id": resource_id}
    found, next_cursor = await read_page(unit, records.ENTRIES, given, page=page)
    return PageOf(items=[AuditEntryRead.model_validate(entry) for entry in found], next_cursor=next_cursor)
