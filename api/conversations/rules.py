"""Rules of conversations and their messages. No I/O.

A message of theirs opens what was closed or snoozed. What people say about a conversation is a version of it; that
another message came is none, the message's own events say so.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.bd_accounts.rules import Account
from api.conversations.state import Changes, Conversation, Incoming, Link, Message, Send
from api.kernel.changes import Change, revised
from api.kernel.errors import Conflict, Unprocessable
from contracts.channels import ConversationStatus, Direction, MessageKind, SendSource, SendState
from contracts.events.conversations import (
    ConversationAssigned,
    ConversationClosed,
    ConversationEvent,
    ConversationLinked,
    ConversationOpened,
    ConversationUpdated,
    MessageFailed,
    MessageQueued,
    MessageRead,
    MessageReceived,
    MessageSent,
    MessageUpdated,
)

_ASSIGNED, _LINKED = {"assignee_id", "team_id"}, {"contact_id", "deal_id"}


class AlreadyClosed(Conflict):
    """The conversation is closed."""

    code, detail = "conversation_closed", "This conversation is closed. Reopen it first."


class SnoozeInThePast(Unprocessable):
    """A conversation sleeps until later."""

    code, detail, pointer = "snooze_in_the_past", "snoozed_until must lie in the future.", "/snoozed_until"


def begin(
    account: Account,
    link: Link,
    *,
    thread_key: str,
    address: str,
    subject: str | None,
    direction: Direction,
    at: datetime,
    now: datetime,
) -> Change[Conversation]:
    """A conversation with whoever `link` names. The account's user looks after it, else the contact's owner."""
    made = Conversation(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        account_id=account.id,
        channel=account.channel,
        thread_key=thread_key,
        subject=subject,
        address=address,
        status=ConversationStatus.OPEN,
        contact_id=link.contact_id,
        deal_id=link.deal_id,
        assignee_id=account.user_id or link.owner_id,
        team_id=account.team_id,
        last_message_at=at,
        last_direction=direction,
    )
    return Change(None, made, opened(made, is_reopened=False), at)


def receive(conversation: Conversation, incoming: Incoming, now: datetime) -> Changes:
    """A message that a connector saw, and what becomes of its conversation."""
    at = min(incoming.occurred_at, now)
    is_theirs = incoming.direction is Direction.IN
    message = Message(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        conversation_id=conversation.id,
        account_id=conversation.account_id,
        direction=incoming.direction,
        kind=incoming.kind,
        state="received" if is_theirs else SendState.SENT.value,
        provider_id=incoming.provider_id,
        sender=incoming.sender,
        subject=incoming.subject,
        text=incoming.text,
        html=incoming.html,
        details=incoming.details,
        occurred_at=at,
    )
    facts = _facts(conversation, message)
    if is_theirs:
        event: MessageReceived | MessageSent = MessageReceived(**facts, kind=incoming.kind)
    else:
        event = MessageSent(**facts, source=SendSource.ELSEWHERE, source_id=None, author_id=None)
    return [*_touched(conversation, message, now, is_seen=incoming.is_seen), Change(None, message, event, at)]


def _touched(conversation: Conversation, message: Message, now: datetime, *, is_seen: bool) -> Changes:
    """The conversation after one more message."""
    is_news = message.direction is Direction.IN and message.kind is MessageKind.MESSAGE
    is_newest = message.occurred_at >= conversation.last_message_at
    seen = replace(
        conversation,
        last_message_at=max(conversation.last_message_at, message.occurred_at),
        last_direction=message.direction if is_newest else conversation.last_direction,
        unread_count=conversation.unread_count + (is_news and not is_seen),
    )
    changes: Changes = [Change(conversation, seen)]
    if is_news and conversation.status is not ConversationStatus.OPEN:
        changes.append(_woken(seen, now))
    return changes


def _woken(conversation: Conversation, now: datetime) -> Change[Conversation]:
    was_closed = conversation.status is ConversationStatus.CLOSED
    after = revised(conversation, now, status=ConversationStatus.OPEN, snoozed_until=None)
    event = opened(after, is_reopened=True) if was_closed else ConversationUpdated(changed_fields=["status"])
    return Change(conversation, after, event)


def write_message(
    conversation: Conversation,
    *,
    text: str,
    html: str | None,
    subject: str | None,
    details: dict[str, Any],
    source: SendSource,
    source_id: UUID | None,
    author_id: UUID | None,
    not_before: datetime | None,
    hours: dict[str, Any] | None,
    domain: str,
    now: datetime,
) -> tuple[Changes, Message, Send]:
    """A message of ours that waits to be sent. By mail it has its Message-ID already, of the domain that it is from, to
    be known again by.
    """
    send_id = uuid7()
    message = Message(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        conversation_id=conversation.id,
        account_id=conversation.account_id,
        direction=Direction.OUT,
        state=SendState.QUEUED.value,
        provider_id=f"<{send_id}@{domain}>" if conversation.channel == "email" else None,
        author_id=author_id,
        subject=subject,
        text=text,
        html=html,
        details=details,
        occurred_at=now,
    )
    send = Send(
        id=send_id,
        message_id=message.id,
        account_id=conversation.account_id,
        state=SendState.QUEUED,
        source=source,
        source_id=source_id,
        address=conversation.address,
        not_before=max(now, not_before) if not_before else now,
        hours=hours,
    )
    facts = _facts(conversation, message)
    event = MessageQueued(**facts, source=source, source_id=source_id, author_id=author_id)
    seen = replace(conversation, last_message_at=max(now, conversation.last_message_at), last_direction=Direction.OUT)
    return [Change(conversation, seen), Change(None, message, event), Change(None, send)], message, send


def note(conversation: Conversation, text: str, *, author_id: UUID | None, now: datetime) -> Message:
    """A note that never leaves: no event, for it is no message to anybody."""
    return Message(
        id=uuid7(),
        version=0,
        created_at=now,
        updated_at=now,
        conversation_id=conversation.id,
        account_id=conversation.account_id,
        direction=Direction.NOTE,
        state="note",
        author_id=author_id,
        text=text,
        occurred_at=now,
    )


def update(conversation: Conversation, wanted: Mapping[str, Any], now: datetime) -> Changes:
    """Assign, link, label, snooze or wake: a version for each kind of fact that changes.

    Raises:
        AlreadyClosed: what is closed cannot sleep.
        SnoozeInThePast: as it says.
    """
    wanted = dict(wanted)
    if "snoozed_until" in wanted:
        wanted["status"] = _sleeping(conversation, wanted["snoozed_until"], now)
    changed = {name: value for name, value in wanted.items() if getattr(conversation, name) != value}
    changes: Changes = []
    for names in (_ASSIGNED, _LINKED, changed.keys() - _ASSIGNED - _LINKED):
        part = {name: changed[name] for name in sorted(names) if name in changed}
        if part:
            after = revised(conversation, now, **part)
            changes.append(Change(conversation, after, _said(after, part)))
            conversation = after
    return changes


def _sleeping(conversation: Conversation, until: datetime | None, now: datetime) -> ConversationStatus:
    if conversation.status is ConversationStatus.CLOSED:
        raise AlreadyClosed
    if until is not None and until <= now:
        raise SnoozeInThePast
    return ConversationStatus.OPEN if until is None else ConversationStatus.SNOOZED


def _said(after: Conversation, part: Mapping[str, Any]) -> ConversationEvent:
    if part.keys() <= _ASSIGNED:
        return ConversationAssigned(assignee_id=after.assignee_id, team_id=after.team_id)
    if part.keys() <= _LINKED:
        return ConversationLinked(contact_id=after.contact_id, deal_id=after.deal_id)
    return ConversationUpdated(changed_fields=sorted(part))


def close(conversation: Conversation, now: datetime) -> Changes:
    """Nobody needs to look at it any more."""
    if conversation.status is ConversationStatus.CLOSED:
        return []
    after = revised(conversation, now, status=ConversationStatus.CLOSED, snoozed_until=None, unread_count=0)
    return [Change(conversation, after, ConversationClosed(assignee_id=after.assignee_id, team_id=after.team_id))]


def reopen(conversation: Conversation, now: datetime) -> Changes:
    """Somebody does again."""
    return [] if conversation.status is ConversationStatus.OPEN else [_woken(conversation, now)]


def see(conversation: Conversation) -> Changes:
    """Whoever looks after it has read all of it."""
    return [Change(conversation, replace(conversation, unread_count=0))] if conversation.unread_count else []


def see_up_to(conversation: Conversation, later: int) -> Changes:
    """One of us read it in another program, up to a message after which so many of theirs came."""
    if conversation.unread_count <= later:
        return []
    return [Change(conversation, replace(conversation, unread_count=later))]


def edit(message: Message, *, text: str, html: str | None, at: datetime, now: datetime) -> Changes:
    """Its writer changed its words; what it said before is among its payloads."""
    if (text, html) == (message.text, message.html):
        return []
    after = revised(message, now, text=text, html=html, edited_at=min(at, now))
    event = MessageUpdated(
        conversation_id=message.conversation_id, length=len(text), is_removed=message.removed_at is not None
    )
    return [Change(message, after, event)]


def remove(message: Message, *, at: datetime, now: datetime) -> Changes:
    """Its writer took it back. It is shown as taken back."""
    if message.removed_at is not None:
        return []
    after = revised(message, now, removed_at=min(at, now))
    event = MessageUpdated(conversation_id=message.conversation_id, length=len(message.text), is_removed=True)
    return [Change(message, after, event)]


def leave(message: Message, *, at: datetime, now: datetime) -> Changes:
    """One of us moved or deleted it at the provider. What it says stays here."""
    if "gone_at" in message.details:
        return []
    details = {**message.details, "gone_at": min(at, now).isoformat()}
    return [_placed(message, details, now)]


def come_back(message: Message, now: datetime) -> Changes:
    """It lies again where it was."""
    if "gone_at" not in message.details:
        return []
    return [_placed(message, {name: value for name, value in message.details.items() if name != "gone_at"}, now)]


def _placed(message: Message, details: dict[str, Any], now: datetime) -> Change[Message]:
    after = revised(message, now, details=details)
    event = MessageUpdated(
        conversation_id=message.conversation_id, length=len(message.text), is_removed=message.removed_at is not None
    )
    return Change(message, after, event)


def read(message: Message, *, at: datetime, now: datetime) -> Changes:
    """They read a message of ours."""
    if message.direction is not Direction.OUT or message.read_at is not None:
        return []
    after = revised(message, now, read_at=min(at, now))
    return [Change(message, after, MessageRead(conversation_id=message.conversation_id), min(at, now))]


def bounce(message: Message, now: datetime) -> Changes:
    """A message of ours came back."""
    if message.direction is not Direction.OUT or message.failure is not None:
        return []
    after = revised(message, now, state=SendState.FAILED.value, failure="bounced")
    return [Change(message, after, _failed(after, is_unknown=False))]


def finished(conversation: Conversation, message: Message, send: Send, now: datetime) -> Change[Message]:
    """A message of ours as its send now stands: it was sent, failed, is unknown, or waits again."""
    after = revised(message, now, state=send.state.value, failure=send.failure)
    origin: dict[str, Any] = {"source": send.source, "source_id": send.source_id, "author_id": message.author_id}
    match send.state:
        case SendState.SENT:
            after = replace(after, occurred_at=now)
            return Change(message, after, MessageSent(**_facts(conversation, after), **origin))
        case SendState.QUEUED:
            return Change(message, after, MessageQueued(**_facts(conversation, after), **origin))
        case _:
            return Change(message, after, _failed(after, is_unknown=send.state is SendState.UNKNOWN))


def _failed(message: Message, *, is_unknown: bool) -> MessageFailed:
    return MessageFailed(
        conversation_id=message.conversation_id,
        account_id=message.account_id,
        reason=message.failure or "unknown",
        is_unknown=is_unknown,
    )


def opened(conversation: Conversation, *, is_reopened: bool = False) -> ConversationOpened:
    """What a conversation begins with, or begins again with."""
    return ConversationOpened(
        channel=conversation.channel,
        account_id=conversation.account_id,
        contact_id=conversation.contact_id,
        deal_id=conversation.deal_id,
        assignee_id=conversation.assignee_id,
        team_id=conversation.team_id,
        is_reopened=is_reopened,
    )


def _facts(conversation: Conversation, message: Message) -> dict[str, Any]:
    return {
        "conversation_id": conversation.id,
        "account_id": conversation.account_id,
        "channel": conversation.channel,
        "contact_id": conversation.contact_id,
        "deal_id": conversation.deal_id,
        "assignee_id": conversation.assignee_id,
        "length": len(message.text),
        "attachments": message.attachments,
    }
