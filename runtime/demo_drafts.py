"""The demo's drafts: one of each state, as if a model had written them. None is asked, and no mail leaves.

They go through the drafts' own rules: budget, redaction, cleaning, approval by hash. Safe to run again.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from api.drafts import records
from api.drafts.model import Written
from api.drafts.prompts import Asked
from api.drafts.rules import Draft
from api.drafts.service import Drafting, Wanted
from api.kernel.context import Context
from api.kernel.database import Database
from contracts.calls import connectors, contacts, deals, drafts, users
from contracts.calls.schemas import MessageSeen
from contracts.events.drafts import DraftKind
from contracts.events.envelope import ActorKind
from contracts.settings import AiSettings, BillingSettings
from runtime.demo_campaigns import mailbox
from runtime.demo_records import Caller

_MODEL = "an example author"
_QUESTIONS = (
    ("Price for 400 seats", "What do 400 seats cost, and is there a discount for two years?"),
    ("A date for the demo", "Can you show us the product next week? Tuesday or Thursday would suit us."),
    ("Your data centre", "Where is our data kept, and who can see it?"),
    ("Invoice address", "Our address has changed. Whom do we tell?"),
    ("Thank you", "Thank you for the call. When do we hear from you?"),
)
_REPLY = "Thank you for your message. I will send you an offer with all of it by tomorrow."
_EDITED = "Thank you for your message. You get our offer, with both terms side by side, by tomorrow noon."
_SUMMARY = "The deal is open and nobody has named a date. Its amount is known, its budget is not."
_ADVICE = "Call them: the deal has stood in its stage, and only they know when their budget is decided."


class _Author:
    """What stands in for a language model: it always writes the same."""

    def __init__(self, text: str, action: str | None = None) -> None:
        self._answer = {"text": text, "cited": ["deal.stage", "message.1"], "action": action}

    async def write(self, asked: Asked) -> AsyncIterator[str | Written]:
        """The text, at once and for nothing."""
        del asked
        yield Written(self._answer, _MODEL, 0, 0)


def add(owner: Caller, pipeline_id: str, database_url: str) -> None:
    """Have them written and decided on."""
    if any(one["model"] == _MODEL for one in owner.ask(drafts.list_drafts(limit=100))["items"]):
        return
    listed = owner.ask(deals.list_deals(pipeline_id=pipeline_id, status="open", limit=1))["items"]
    threads = _conversations(owner)
    if not listed or len(threads) < len(_QUESTIONS):
        return
    me = owner.ask(users.read_me())
    context = Context(
        organization_id=UUID(me["organization"]["id"]),
        actor=ActorKind.USER,
        actor_id=UUID(me["id"]),
        correlation_id=uuid7(),
    )
    replies = asyncio.run(_write(database_url, context, threads, UUID(listed[0]["id"])))
    _decide(owner, replies)


def _conversations(owner: Caller) -> list[UUID]:
    """Conversations of contacts who asked something, in a mailbox that nobody connects."""
    account = mailbox(owner)["id"]
    listed = owner.ask(contacts.list_contacts(limit=50))["items"]
    people = [(one["name"], one["email"]) for one in listed if one["email"]][: len(_QUESTIONS)]
    if not people:
        return []
    epoch = owner.ask(connectors.lease_bd_account(account, {"holder": "demo"}))["epoch"]
    now = datetime.now(UTC)
    messages: list[MessageSeen] = [
        {
            "provider_id": f"<demo-draft-{number}@example.com>",
            "thread_key": f"<demo-draft-{number}@example.com>",
            "address": address,
            "direction": "in",
            "sender": name,
            "subject": subject,
            "text": text,
            "occurred_at": (now - timedelta(hours=number + 1)).isoformat(),
        }
        for number, ((name, address), (subject, text)) in enumerate(zip(people, _QUESTIONS, strict=False))
    ]
    taken = owner.ask(connectors.take_in_messages({"account_id": account, "epoch": epoch, "messages": messages}))
    return [UUID(one["conversation_id"]) for one in taken["messages"]]


async def _write(url: str, context: Context, threads: list[UUID], deal_id: UUID) -> list[Draft]:
    """A reply in each conversation, and a summary and advice about a deal; answers the replies."""
    database = Database(url, pool_size=2)
    drafting = Drafting(database, context, AiSettings(), BillingSettings())
    wanted: list[tuple[DraftKind, UUID | None, UUID | None, _Author]] = [
        *((DraftKind.REPLY, thread, None, _Author(_REPLY)) for thread in threads),
        (DraftKind.SUMMARY, None, deal_id, _Author(_SUMMARY)),
        (DraftKind.NEXT_ACTION, None, deal_id, _Author(_ADVICE, "call")),
    ]
    replies: list[Draft] = []
    try:
        for kind, conversation_id, about, author in wanted:
            async with database.unit(context) as unit:
                inputs = await records.read_inputs(unit, conversation_id=conversation_id, deal_id=about, owners=None)
            asked = Wanted(f"demo:{kind}:{conversation_id or about}", kind, context.actor_id, inputs)
            draft = await drafting.begin(asked)
            parts = [part async for part in drafting.write(author, draft, asked)]
            if kind is DraftKind.REPLY:
                replies += [part for part in parts if isinstance(part, Draft)]
    finally:
        await database.close()
    return replies


def _decide(owner: Caller, replies: list[Draft]) -> None:
    """The first waits; the others are edited, approved, rejected and sent."""
    _, edited, approved, rejected, sent = replies
    owner.ask(drafts.update_draft(edited.id, {"text": _EDITED}, version=edited.version))
    for one in (approved, sent):
        owner.ask(drafts.approve_draft(one.id, {"text_hash": one.text_hash}))
    owner.ask(drafts.reject_draft(rejected.id))
    owner.ask(drafts.send_draft(sent.id))
