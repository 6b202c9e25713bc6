"""Who else looks at a conversation, or types into it: leases of seconds, which their pages renew.

Whoever is not heard of for a while is gone. Live updates push who comes, goes, and begins to type.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Body
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from api.conversations import records
from api.db.statements import compiled
from api.edge.dependencies import RecordWriter, Unit
from api.edge.fields import Flag
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound
from api.kernel.hints import LIVE
from api.kernel.visibility import owners_seen

router = slice_router(prefix="/conversations", tags=["conversations"])

_IS_MINE = "organization_id = :organization_id and conversation_id = :conversation_id and user_id = :user_id"
_TELL = f"pg_notify('sluice_work', '{LIVE}' || cast(cast(:organization_id as uuid) as text))"
#: Whoever was there before, and does the same, is no news.
_BE_THERE = compiled(
    text(f"""
with was as (
    select is_typing from conversation_presences where {_IS_MINE} and until > clock_timestamp()
), kept as (
    insert into conversation_presences (organization_id, conversation_id, user_id, is_typing, until)
    values (:organization_id, :conversation_id, :user_id, :is_typing, clock_timestamp() + interval '20 seconds')
    on conflict (organization_id, conversation_id, user_id)
    do update set is_typing = excluded.is_typing, until = excluded.until
)
select {_TELL} where not exists (select from was where is_typing = :is_typing)
""")
)
#: Whoever closed the page said nothing: what live updates look through on each push must not grow with it.
_FORGET = compiled(
    text("""
delete from conversation_presences as p using (
    select conversation_id, user_id from conversation_presences
    where organization_id = :organization_id and until < clock_timestamp() - interval '1 minute'
    limit 100 for update skip locked
) as gone
where p.organization_id = :organization_id and p.conversation_id = gone.conversation_id and p.user_id = gone.user_id
""")
)
_GO = compiled(
    text(
        f"with gone as (delete from conversation_presences where {_IS_MINE} returning user_id) select {_TELL} from gone"
    )
)
_OTHERS = compiled(
    text("""
select user_id, is_typing from conversation_presences
where organization_id = :organization_id and conversation_id = :conversation_id and user_id <> :user_id
  and until > clock_timestamp()
order by user_id
""")
)


class PresenceWrite(BaseModel):
    """That you look at it now, and whether you type."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"is_typing": True}]})

    is_typing: Flag = False


class Present(BaseModel):
    """Somebody else who is there now."""

    model_config = ConfigDict(from_attributes=True)

    user_id: UUID
    is_typing: bool


class PresenceRead(BaseModel):
    """Who else is there now."""

    others: list[Present]


@router.put("/{conversation_id}/presence", responses=problems(NotFound))
async def be_present(
    conversation_id: UUID, caller: RecordWriter, unit: Unit, body: Annotated[PresenceWrite, Body()]
) -> PresenceRead:
    """Say every ten seconds that you look at a conversation; answers who else does."""
    await records.find_conversation(unit, conversation_id, owners=await owners_seen(unit, caller))
    whose = {"conversation_id": conversation_id, "user_id": caller.user_id}
    others = await unit.fetch(_OTHERS, **whose)
    unit.execute(_FORGET)
    unit.execute(_BE_THERE, **whose, is_typing=body.is_typing)
    return PresenceRead(others=[Present.model_validate(one) for one in others])


@router.delete("/{conversation_id}/presence", status_code=204, responses=problems(NotFound))
async def leave_conversation(conversation_id: UUID, caller: RecordWriter, unit: Unit) -> None:
    """Say that you look at it no more."""
    await records.find_conversation(unit, conversation_id, owners=await owners_seen(unit, caller))
    unit.execute(_GO, conversation_id=conversation_id, user_id=caller.user_id)
