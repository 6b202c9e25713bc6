"""`/v1/conversations`, `/v1/messages` and `/v1/canned-replies`: the inbox as people use it."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query, Response
from sqlalchemy import bindparam, delete, select
from uuid_utils.compat import uuid7

from api.conversations import attachments, completeness, connectors, presence, records, rules, sending, sends
from api.conversations.enclosing import FilesNotTaken, FilesTooLarge
from api.conversations.schemas import (
    CannedReplyRead,
    CannedReplyWrite,
    ConversationRead,
    ConversationStart,
    ConversationUpdate,
    MessageRead,
    NoteWrite,
    Reply,
)
from api.conversations.sending import AccountIsGone, NobodyToWriteTo, Outgoing
from api.conversations.state import Changes, Conversation, Message
from api.db.statements import as_pattern, compiled
from api.edge.dependencies import CurrentCaller, OptionalIfMatch, RecordWriter, Unit
from api.edge.fields import Label, SearchText
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.caller import Caller
from api.kernel.changes import Change
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.links import require_shown
from api.kernel.owners import check_owner
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from api.models.conversation import CannedReply
from contracts.channels import Channel, ConversationStatus, SendSource

conversations = slice_router(prefix="/conversations", tags=["conversations"])
messages = slice_router(prefix="/messages", tags=["messages"])
canned_replies = slice_router(prefix="/canned-replies", tags=["conversations"])
routers = [
    completeness.router,
    presence.router,
    attachments.router,
    conversations,
    connectors.messages,
    messages,
    connectors.waiting,
    connectors.sends,
    canned_replies,
]

_CANNED = compiled(
    select(CannedReply).where(
        CannedReply.organization_id == bindparam("organization_id"), CannedReply.id == bindparam("id")
    )
)
_DROP_CANNED = compiled(
    delete(CannedReply).where(
        CannedReply.organization_id == bindparam("organization_id"), CannedReply.id == bindparam("id")
    )
)
#: What may be wrong with a message that somebody sends.
_SENDING = (NotFound, AccountIsGone, UnknownReference, FilesNotTaken, FilesTooLarge)


async def _filter(
    status: ConversationStatus | None = None,
    channel: Channel | None = None,
    account_id: UUID | None = None,
    assignee_id: UUID | None = None,
    is_unassigned: bool | None = None,
    team_id: UUID | None = None,
    contact_id: UUID | None = None,
    deal_id: UUID | None = None,
    label: Label | None = None,
    q: Annotated[SearchText | None, Query(description="Part of a subject or message, in any case.")] = None,
) -> dict[str, object]:
    return {
        "status": status,
        "channel": channel,
        "account_id": account_id,
        "assignee_id": assignee_id,
        "nobodys": True if is_unassigned else None,
        "team_id": team_id,
        "contact_id": contact_id,
        "deal_id": deal_id,
        "label": label,
        "q": as_pattern(q) if q else None,
    }


@conversations.get("")
async def list_conversations(
    caller: CurrentCaller, unit: Unit, page: Page, only: Annotated[dict[str, Any], Depends(_filter)]
) -> PageOf[ConversationRead]:
    """List the conversations you see, those with the newest messages first."""
    given = {**only, "owners": _listed(await owners_seen(unit, caller))}
    rows, cursor = await read_page(unit, records.CONVERSATIONS, given, page=page)
    items = [ConversationRead.model_validate(one) for one in records.conversations(rows)]
    return PageOf(items=items, next_cursor=cursor)


@conversations.post("", status_code=201, responses=problems(NobodyToWriteTo, *_SENDING))
async def start_conversation(
    body: ConversationStart, caller: RecordWriter, unit: Unit, response: Response
) -> ConversationRead:
    """Write to somebody. Where a channel has one conversation per person, it goes into that one."""
    outgoing = Outgoing(**body.model_dump(), source=SendSource.REPLY, author_id=caller.user_id)
    queued = await sending.queue_message(unit, outgoing, owners=await owners_seen(unit, caller))
    response.headers["Location"] = f"/v1/conversations/{queued.conversation.id}"
    return ConversationRead.model_validate(queued.conversation)


@conversations.get("/{conversation_id}", responses=problems(NotFound))
async def read_conversation(conversation_id: UUID, caller: CurrentCaller, unit: Unit) -> ConversationRead:
    """Read a conversation."""
    owners = await owners_seen(unit, caller)
    return ConversationRead.model_validate(await records.find_conversation(unit, conversation_id, owners=owners))


@conversations.patch(
    "/{conversation_id}",
    responses=problems(NotFound, PreconditionFailed, UnknownReference, rules.AlreadyClosed, rules.SnoozeInThePast),
)
async def update_conversation(
    conversation_id: UUID, body: ConversationUpdate, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch
) -> ConversationRead:
    """Assign, link, label or snooze a conversation."""
    wanted = body.model_dump(exclude_unset=True)
    conversation = await _lock(unit, conversation_id, caller, expected_version=if_match)
    if wanted.get("assignee_id") != conversation.assignee_id:
        await check_owner(unit, wanted.get("assignee_id"))
    if wanted.get("contact_id") != conversation.contact_id:
        require_shown(unit, "conversations", contact_id=wanted.get("contact_id"))
    return _answer(unit, conversation, rules.update(conversation, wanted, unit.now))


@conversations.post("/{conversation_id}/close", responses=problems(NotFound, PreconditionFailed))
async def close_conversation(
    conversation_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch
) -> ConversationRead:
    """Nobody needs to look at it any more, until they write again."""
    conversation = await _lock(unit, conversation_id, caller, expected_version=if_match)
    return _answer(unit, conversation, rules.close(conversation, unit.now))


@conversations.post("/{conversation_id}/reopen", responses=problems(NotFound, PreconditionFailed))
async def reopen_conversation(
    conversation_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch
) -> ConversationRead:
    """Somebody needs to look at it again."""
    conversation = await _lock(unit, conversation_id, caller, expected_version=if_match)
    return _answer(unit, conversation, rules.reopen(conversation, unit.now))


@conversations.post("/{conversation_id}/seen", responses=problems(NotFound))
async def see_conversation(conversation_id: UUID, caller: RecordWriter, unit: Unit) -> ConversationRead:
    """All of it has been read here. What comes later counts as unread."""
    conversation = await _lock(unit, conversation_id, caller)
    return _answer(unit, conversation, rules.see(conversation))


@conversations.get("/{conversation_id}/messages", responses=problems(NotFound))
async def list_conversation_messages(
    conversation_id: UUID, caller: CurrentCaller, unit: Unit, page: Page
) -> PageOf[MessageRead]:
    """List a conversation's messages and notes, newest first."""
    await records.find_conversation(unit, conversation_id, owners=await owners_seen(unit, caller))
    rows, cursor = await read_page(unit, records.MESSAGES, {"conversation_id": conversation_id}, page=page)
    return PageOf(items=[MessageRead.model_validate(one) for one in records.messages(rows)], next_cursor=cursor)


@conversations.post("/{conversation_id}/messages", status_code=201, responses=problems(*_SENDING))
async def reply_to_conversation(conversation_id: UUID, body: Reply, caller: RecordWriter, unit: Unit) -> MessageRead:
    """Write into a conversation. The message is `queued` until its account's connector has sent it."""
    outgoing = Outgoing(conversation_id=conversation_id, author_id=caller.user_id, **body.model_dump())
    queued = await sending.queue_message(unit, outgoing, owners=await owners_seen(unit, caller))
    return MessageRead.model_validate(queued.message)


@conversations.post("/{conversation_id}/notes", status_code=201, responses=problems(NotFound))
async def note_conversation(conversation_id: UUID, body: NoteWrite, caller: RecordWriter, unit: Unit) -> MessageRead:
    """Leave a note that only colleagues see."""
    conversation = await _lock(unit, conversation_id, caller)
    note = rules.note(conversation, body.text, author_id=caller.user_id, now=unit.now)
    records.write_changes(unit, [Change(None, note)])
    return MessageRead.model_validate(note)


@messages.get("")
async def list_messages(
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    account_id: UUID | None = None,
    state: Literal["received", "queued", "sending", "sent", "failed", "unknown", "note"] | None = None,
    q: Annotated[SearchText | None, Query(description="Part of the text, in any case.")] = None,
) -> PageOf[MessageRead]:
    """List messages of the conversations you see, newest first. `state=unknown` needs somebody's decision."""
    owners = _listed(await owners_seen(unit, caller))
    given = {"account_id": account_id, "state": state, "q": as_pattern(q) if q else None, "owners": owners}
    rows, cursor = await read_page(unit, records.MESSAGES, given, page=page)
    return PageOf(items=[MessageRead.model_validate(one) for one in records.messages(rows)], next_cursor=cursor)


@messages.get("/{message_id}", responses=problems(NotFound))
async def read_message(message_id: UUID, caller: CurrentCaller, unit: Unit) -> MessageRead:
    """Read a message."""
    return MessageRead.model_validate(await _message(unit, message_id, caller))


@messages.post("/{message_id}/retry", responses=problems(NotFound, sends.NothingToRetry))
async def retry_message(message_id: UUID, caller: RecordWriter, unit: Unit) -> MessageRead:
    """Send again what failed, or what nobody knows of: whoever got it may then get it twice."""
    message = await _message(unit, message_id, caller)
    return MessageRead.model_validate(await sending.decide(unit, message, "retry"))


@messages.post("/{message_id}/confirm", responses=problems(NotFound, sends.NothingToRetry))
async def confirm_message(message_id: UUID, caller: RecordWriter, unit: Unit) -> MessageRead:
    """Say that it was sent: you looked, or you sent it yourself, as LinkedIn wants it."""
    message = await _message(unit, message_id, caller)
    return MessageRead.model_validate(await sending.decide(unit, message, "confirm"))


@canned_replies.get("")
async def list_canned_replies(caller: CurrentCaller, unit: Unit, page: Page) -> PageOf[CannedReplyRead]:
    """List texts to use again."""
    rows, cursor = await read_page(unit, records.CANNED, {}, page=page)
    return PageOf(items=[CannedReplyRead.model_validate(row) for row in rows], next_cursor=cursor)


@canned_replies.post("", status_code=201)
async def create_canned_reply(body: CannedReplyWrite, caller: RecordWriter, unit: Unit) -> CannedReplyRead:
    """Keep a text to use again."""
    await unit.begin()
    row = {"id": uuid7(), **body.model_dump(), "created_by": caller.user_id, "created_at": unit.now}
    unit.insert(CannedReply, row)
    return CannedReplyRead.model_validate(row)


@canned_replies.delete("/{canned_reply_id}", status_code=204, responses=problems(NotFound))
async def delete_canned_reply(canned_reply_id: UUID, caller: RecordWriter, unit: Unit) -> None:
    """Keep it no longer."""
    if not await unit.fetch(_CANNED, id=canned_reply_id):
        raise NotFound("canned reply")
    unit.execute(_DROP_CANNED, id=canned_reply_id)


async def _lock(
    unit: UnitOfWork, conversation_id: UUID, caller: Caller, *, expected_version: int | None = None
) -> Conversation:
    owners = await owners_seen(unit, caller)
    conversation, _ = await records.lock_conversation(
        unit, conversation_id, owners=owners, expected_version=expected_version
    )
    return conversation


async def _message(unit: UnitOfWork, message_id: UUID, caller: Caller) -> Message:
    return await records.find_message(unit, message_id, owners=await owners_seen(unit, caller))


def _answer(unit: UnitOfWork, conversation: Conversation, changes: Changes) -> ConversationRead:
    records.write_changes(unit, changes)
    return ConversationRead.model_validate(changes[-1].after if changes else conversation)


def _listed(owners: frozenset[UUID] | None) -> list[UUID] | None:
    return None if owners is None else list(owners)
