"""What rules can do with drafts: have one written. Nobody but a person approves and sends it."""

from typing import Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.drafts import records
from api.drafts.model import AiOff
from api.drafts.prompts import PROMPTS
from api.drafts.rules import Draft, DraftState
from api.edge.entitlements import Limit, require_room
from api.kernel.actions import Acting, ActionKind, ActionParameters, Decision
from api.kernel.changes import Change
from contracts.events.drafts import DraftKind
from contracts.settings import AiSettings, BillingSettings

#: Whose drafts the worker writes.
REQUESTED = "rule:"

_NEWEST_CONVERSATION = compiled(
    text("""
select id, deal_id from conversations
where organization_id = :organization_id
    and (deal_id = cast(:deal_id as uuid) or contact_id = cast(:contact_id as uuid))
order by last_message_at desc, id desc limit 1
""")
)


class RequestDraft(ActionParameters):
    """A draft for a person to look at: a reply in the newest conversation, or about the deal the next action or a
    summary."""

    kind: DraftKind = DraftKind.NEXT_ACTION
    wish: str = Field(default="", max_length=500)


async def _request(acting: Acting, wanted: RequestDraft) -> Decision:
    if not AiSettings().is_ai_on:
        raise AiOff
    deal_id = acting.subject_id if acting.subject_type == "deal" else None
    conversation_id: UUID | None = None
    if wanted.kind is DraftKind.REPLY:
        contact_id: Any = acting.subject_id if acting.subject_type == "contact" else acting.facts.get("contact_id")
        found = await acting.unit.fetch(_NEWEST_CONVERSATION, deal_id=deal_id, contact_id=contact_id)
        if not found:
            return Decision()
        conversation_id, deal_id = found[0].id, found[0].deal_id
    elif deal_id is None:
        return Decision()
    await require_room(acting.unit, BillingSettings(), Limit.AI_DRAFTS)
    draft = Draft(
        id=uuid7(),
        version=0,
        created_at=acting.unit.now,
        updated_at=acting.unit.now,
        request_key=f"{REQUESTED}{uuid7()}",
        kind=wanted.kind,
        state=DraftState.GENERATING,
        conversation_id=conversation_id,
        deal_id=deal_id,
        prompt=PROMPTS[wanted.kind].name,
        cited=[],
        text=wanted.wish,
    )
    acting.writes.append(lambda: records.write_change(acting.unit, Change(None, draft)))
    return Decision({}, {"draft_id": draft.id})


ACTIONS = (ActionKind("draft.request", "Request a draft", RequestDraft, _request, subjects=("deal", "contact")),)
