"""Statements of drafts, and what is read for one."""

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, or_, text

from api.conversations.records import find_conversation
from api.conversations.state import Conversation
from api.db.statements import compiled, is_one_of
from api.drafts.redaction import regions_of
from api.drafts.rules import Draft
from api.kernel.changes import Change
from api.kernel.erasing import erasures_so_far
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.kernel.states import as_state, only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.conversation import Conversation as ConversationRow
from api.models.deal import Deal as DealRow
from api.models.draft import Draft as DraftRow

Owners = frozenset[UUID] | None

_MESSAGES_GIVEN = 20
_LONGEST_MESSAGE = 2_000

_organization: Any = bindparam("organization_id")
_drafts = rows_of(Draft, DraftRow)
#: Drafts about conversations and deals of these people, and what they asked for themselves.
_is_seen = or_(
    is_one_of(DraftRow.author_id, "owners"),
    exists().where(
        ConversationRow.organization_id == _organization,
        ConversationRow.id == DraftRow.conversation_id,
        is_one_of(ConversationRow.assignee_id, "owners"),
    ),
    exists().where(
        DealRow.organization_id == _organization,
        DealRow.id == DraftRow.deal_id,
        is_one_of(DealRow.owner_id, "owners"),
    ),
)
_FILTERS = {
    **{
        name: getattr(DraftRow, name) == bindparam(name)
        for name in ("id", "kind", "state", "conversation_id", "deal_id")
    },
    "owners": _is_seen,
}
DRAFTS = Listing(_drafts, filters=_FILTERS, order=(DraftRow.id,), newest_first=True)
_LOCKING = Listing(_drafts.with_for_update(key_share=True), filters=_FILTERS, order=(DraftRow.id,))
_BY_KEY = compiled(_drafts.where(DraftRow.request_key == bindparam("request_key")).with_for_update(key_share=True))
_HOLD = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('drafts:' || cast(cast(:organization_id as uuid) as text), 0))")
)
_SPENT = compiled(
    text("""
select coalesce(sum(cost_micro), 0) as spent from drafts
where organization_id = :organization_id
    and created_at >= date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'
""")
)
_MESSAGES = compiled(
    text("""
select direction, left(text, :longest) as text, occurred_at from messages
where organization_id = :organization_id and conversation_id = :conversation_id and direction in ('in', 'out')
    and kind = 'message' and removed_at is null
order by occurred_at desc, id desc limit :most
""")
)
_DEAL = compiled(
    text("""
select d.title, d.amount_minor, d.currency, d.close_date, d.created_at, d.owner_id, s.name as stage,
    s.kind as stage_kind, p.name as pipeline, u.name as owner, c.name as company, t.name as contact,
    t.phone as contact_phone
from deals as d
join stages as s on s.organization_id = d.organization_id and s.id = d.stage_id
join pipelines as p on p.organization_id = d.organization_id and p.id = d.pipeline_id
left join users as u on u.organization_id = d.organization_id and u.id = d.owner_id
left join contacts as t on t.organization_id = d.organization_id and t.id = d.contact_id
left join companies as c on c.organization_id = d.organization_id and c.id = d.company_id
where d.organization_id = :organization_id and d.id = :deal_id and d.deleted_at is null
""")
)
_CONTACT = compiled(
    text("select name, phone from contacts where organization_id = :organization_id and id = :contact_id")
)


@dataclass(frozen=True)
class Inputs:
    """What a draft is about: `facts` by name, as JSON; `people` to be hidden, `regions` in which their numbers are.

    `said` is what was written, oldest first, and whether by us; `erasures` how many people had been erased before it
    was read.
    """

    conversation_id: UUID | None
    deal_id: UUID | None
    erasures: int
    facts: dict[str, Any] = field(default_factory=dict)
    people: list[str] = field(default_factory=list)
    regions: set[str] = field(default_factory=set)
    said: list[tuple[bool, str]] = field(default_factory=list)


async def read_inputs(
    unit: UnitOfWork, *, conversation_id: UUID | None, deal_id: UUID | None, owners: Owners
) -> Inputs:
    """What the caller sees of a conversation, or of a deal.

    Raises:
        NotFound: there is no such conversation or deal that `owners` let see.
    """
    inputs = Inputs(conversation_id, deal_id, await erasures_so_far(unit))
    if conversation_id is not None:
        conversation = await find_conversation(unit, conversation_id, owners=owners)
        inputs = replace(inputs, deal_id=deal_id or conversation.deal_id)
        await _add_messages(unit, inputs, conversation)
    if inputs.deal_id is not None:
        await _add_deal(unit, inputs, owners=owners, is_asked=deal_id is not None)
    return inputs


async def _add_messages(unit: UnitOfWork, inputs: Inputs, conversation: Conversation) -> None:
    messages, contacts = await unit.fetch_all(
        _MESSAGES.bind(conversation_id=conversation.id, longest=_LONGEST_MESSAGE, most=_MESSAGES_GIVEN),
        _CONTACT.bind(contact_id=conversation.contact_id),
    )
    inputs.facts["conversation.channel"] = conversation.channel.value
    if conversation.subject:
        inputs.facts["conversation.subject"] = conversation.subject
    for number, message in enumerate(reversed(messages), 1):
        written_by = "customer" if message.direction == "in" else "us"
        said = {"by": written_by, "at": message.occurred_at.isoformat(), "text": message.text}
        inputs.facts[f"message.{number}"] = said
        inputs.said.append((message.direction == "out", message.text))
    for contact in contacts:
        inputs.people.append(contact.name)
        inputs.regions.update(regions_of(contact.phone))


async def _add_deal(unit: UnitOfWork, inputs: Inputs, *, owners: Owners, is_asked: bool) -> None:
    found = await unit.fetch(_DEAL, deal_id=inputs.deal_id)
    is_seen = bool(found) and (owners is None or found[0].owner_id in owners)
    if not is_seen:
        if is_asked:
            raise NotFound("deal")
        return
    [deal] = found
    facts = {
        "deal.title": deal.title,
        "deal.stage": deal.stage,
        "deal.pipeline": deal.pipeline,
        "deal.state": deal.stage_kind,
        "deal.created_at": deal.created_at.isoformat(),
    }
    inputs.facts.update(facts)
    if deal.amount_minor is not None:
        inputs.facts["deal.amount_in_minor_units"] = [deal.amount_minor, deal.currency]
    if deal.close_date is not None:
        inputs.facts["deal.close_date"] = deal.close_date.isoformat()
    if deal.company is not None:
        inputs.facts["deal.company"] = deal.company
    inputs.people.extend(name for name in (deal.owner, deal.contact) if name)
    inputs.regions.update(regions_of(deal.contact_phone))


async def spent_this_month(unit: UnitOfWork) -> int:
    """Micro-dollars."""
    [row] = await unit.fetch(_SPENT)
    return int(row.spent)


async def hold_budget(unit: UnitOfWork) -> int:
    """The same; nobody else of the organization begins a draft until the transaction ends."""
    _, [row] = await unit.fetch_all(_HOLD.bind(), _SPENT.bind())
    return int(row.spent)


async def find_by_key(unit: UnitOfWork, request_key: str) -> Draft | None:
    """The draft of a request that was made before, locked."""
    found = await unit.fetch(_BY_KEY, request_key=request_key)
    return as_state(Draft, found[0]) if found else None


async def find_draft(unit: UnitOfWork, draft_id: UUID, *, owners: Owners) -> Draft:
    """One draft.

    Raises:
        NotFound: none that `owners` let see.
    """
    return await _one(unit, DRAFTS, draft_id, owners)


async def lock_draft(unit: UnitOfWork, draft_id: UUID, *, owners: Owners) -> Draft:
    """The same, locked."""
    return await _one(unit, _LOCKING, draft_id, owners)


def write_change(unit: UnitOfWork, change: Change[Draft]) -> None:
    """Queue what was decided."""
    write(unit, [change], {Draft: DraftRow})


async def _one(unit: UnitOfWork, listing: Listing, draft_id: UUID, owners: Owners) -> Draft:
    given = {"id": draft_id, "owners": None if owners is None else sorted(owners)}
    [found] = await unit.fetch_all(listing.bind(given, after=None, limit=1))
    return only(Draft, found, "draft")
