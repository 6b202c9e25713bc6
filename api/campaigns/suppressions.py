"""`/v1/suppressions`: addresses that nothing is sent to. Whoever said no stays; what came back may be tried again."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import Response
from sqlalchemy import bindparam, delete

from api.campaigns.schemas import SuppressionRead, SuppressionWrite
from api.conversations.sending import opt_out
from api.db.statements import compiled
from api.edge.dependencies import Administrator, RecordWriter, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.auditing import note
from api.kernel.errors import Conflict, NotFound
from api.kernel.listing import Listing
from api.kernel.states import as_state, only, rows_of
from api.models.conversation import Suppression as SuppressionRow
from contracts.channels import Channel

router = slice_router(prefix="/suppressions", tags=["campaigns"])

#: Where nobody has said no: the address did not take mail.
_CAME_BACK = "bounced"
BY_HAND = "by_hand"


class TheyObjected(Conflict):
    """Somebody said that they want nothing."""

    code, detail = "they_objected", "They said that they want nothing from you, and that stays so."


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """An address that nothing is sent to, and why."""

    id: UUID
    created_at: datetime
    channel: Channel
    address: str
    reason: str


_FILTERS = {
    "id": SuppressionRow.id == bindparam("id"),
    "channel": SuppressionRow.channel == bindparam("channel"),
    "reason": SuppressionRow.reason == bindparam("reason"),
}
_rows = rows_of(Suppression, SuppressionRow)
_SUPPRESSIONS = Listing(_rows, filters=_FILTERS, order=(SuppressionRow.id,), newest_first=True)
_LOCKED = Listing(_rows.with_for_update(), filters=_FILTERS, order=(SuppressionRow.id,))
_LIFT = compiled(
    delete(SuppressionRow).where(
        SuppressionRow.organization_id == bindparam("organization_id"), SuppressionRow.id == bindparam("one")
    )
)


@router.get("")
async def list_suppressions(
    caller: Administrator, unit: Unit, page: Page, channel: Channel | None = None, reason: str | None = None
) -> PageOf[SuppressionRead]:
    """List addresses that nothing is sent to, newest first."""
    rows, cursor = await read_page(unit, _SUPPRESSIONS, {"channel": channel, "reason": reason}, page=page)
    items = [SuppressionRead.model_validate(as_state(Suppression, row)) for row in rows]
    return PageOf(items=items, next_cursor=cursor)


@router.post("", status_code=204)
async def suppress_addresses(body: SuppressionWrite, caller: RecordWriter, unit: Unit) -> Response:
    """Have nothing sent to these addresses any more, from now on. One that is there already stays as it is."""
    await opt_out(unit, body.channel, body.addresses, reason=BY_HAND)
    note(unit, "suppressions.added", resource="suppression", after={"number": len(body.addresses)})
    return Response(status_code=204)


@router.delete("/{suppression_id}", status_code=204, responses=problems(NotFound, TheyObjected))
async def lift_suppression(suppression_id: UUID, caller: Administrator, unit: Unit) -> Response:
    """Let an address be written to again at which mail came back."""
    [rows] = await unit.fetch_all(_LOCKED.bind({"id": suppression_id}, after=None, limit=1))
    found = only(Suppression, rows, "suppression")
    if found.reason != _CAME_BACK:
        raise TheyObjected
    unit.execute(_LIFT, one=suppression_id)
    note(unit, "suppression.lifted", resource="suppression", resource_id=suppression_id)
    return Response(status_code=204)
