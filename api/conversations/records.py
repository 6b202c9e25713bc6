"""Statements of conversations, messages and sends.

Whoever locks several things locks them in one order: the account, conversations, messages, sends; several of a kind by
their ids. Connectors tell, claim and take in at the same time, and none may wait for another that waits for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Text, and_, any_, bindparam, exists, func, or_, select, text, true
from uuid_utils.compat import uuid7

from api.conversations.state import Changes, Conversation, Message, Send
from api.db.statements import compiled, contains, is_one_of
from api.kernel.constraints import Problems, unknown
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.listing import Listing
from api.kernel.states import as_state, as_states, columns_of, only, rows_of
from api.kernel.timelines import SOURCES, Source
from api.kernel.unit_of_work import Bound, Row, UnitOfWork
from api.kernel.writing import write
from api.models.bd_account import BdAccount
from api.models.conversation import CannedReply, Suppression
from api.models.conversation import Conversation as ConversationRow
from api.models.message import Message as MessageRow
from api.models.message import MessagePayload
from api.models.message import Send as SendRow
from contracts.channels import Channel

Owners = frozenset[UUID] | None

_PROBLEMS: Problems = {
    "fk_conversations_contact_id": unknown("contact_id", "contact"),
    "fk_conversations_deal_id": unknown("deal_id", "deal"),
    "fk_conversations_assignee_id": unknown("assignee_id", "user"),
    "fk_conversations_team_id": unknown("team_id", "team"),
}
_TABLES = {Conversation: ConversationRow, Message: MessageRow, Send: SendRow}
#: How long a subject without references still means the same thread.
_SAME_SUBJECT: Any = text("interval '30 days'")

_organization: Any = bindparam("organization_id")
_conversations = rows_of(Conversation, ConversationRow)
_messages = rows_of(Message, MessageRow)
_sends = rows_of(Send, SendRow)
_is_seen = is_one_of(ConversationRow.assignee_id, "owners")

CONVERSATIONS = Listing(
    _conversations,
    filters={
        **{
            name: getattr(ConversationRow, name) == bindparam(name)
            for name in ("id", "status", "assignee_id", "team_id", "account_id", "channel", "contact_id", "deal_id")
        },
        "owners": _is_seen,
        "nobodys": ConversationRow.assignee_id.is_(None) & bindparam("nobodys", type_=true().type),
        "label": bindparam("label", type_=Text()) == any_(ConversationRow.labels),
        "q": or_(
            contains(ConversationRow.subject, "q"),
            exists().where(
                MessageRow.organization_id == _organization,
                MessageRow.conversation_id == ConversationRow.id,
                contains(MessageRow.text, "q"),
            ),
        ),
    },
    order=(ConversationRow.last_message_at, ConversationRow.id),
    newest_first=True,
)
_LOCKING = Listing(
    _conversations.with_for_update(key_share=True),
    filters={"id": ConversationRow.id == bindparam("id"), "owners": _is_seen},
    order=(ConversationRow.id,),
)
MESSAGES = Listing(
    _messages,
    filters={
        "conversation_id": MessageRow.conversation_id == bindparam("conversation_id"),
        "account_id": MessageRow.account_id == bindparam("account_id"),
        "state": MessageRow.state == bindparam("state"),
        "owners": exists().where(
            ConversationRow.organization_id == _organization,
            ConversationRow.id == MessageRow.conversation_id,
            _is_seen,
        ),
        "q": contains(MessageRow.text, "q"),
    },
    order=(MessageRow.occurred_at, MessageRow.id),
    newest_first=True,
)
_MESSAGE = compiled(_messages.where(MessageRow.id == bindparam("message_id")))

_of_account = MessageRow.account_id == bindparam("account_id")
#: Messages that the provider's ids name, among them those that a new one refers to.
KNOWN = compiled(
    _messages.where(_of_account, is_one_of(MessageRow.provider_id, "provider_ids"))
    .order_by(MessageRow.id)
    .with_for_update(key_share=True),
    is_prepared=False,
)
#: Conversations of an account by their threads, by messages in them, or by whom they are with of late.
THREADS = compiled(
    _conversations.where(
        ConversationRow.account_id == bindparam("account_id"),
        or_(
            is_one_of(ConversationRow.thread_key, "thread_keys"),
            ConversationRow.id.in_(
                select(MessageRow.conversation_id).where(
                    MessageRow.organization_id == _organization,
                    _of_account,
                    is_one_of(MessageRow.provider_id, "provider_ids"),
                )
            ),
            and_(
                is_one_of(func.lower(ConversationRow.address), "addresses"),
                ConversationRow.channel == Channel.EMAIL.value,
                ConversationRow.last_message_at > func.now() - _SAME_SUBJECT,
            ),
        ),
    )
    .order_by(ConversationRow.id)
    .with_for_update(key_share=True),
    is_prepared=False,
)
#: Messages of ours that were given to the provider, who has not said what they are called there.
NAMELESS = compiled(
    _messages.where(
        _of_account,
        is_one_of(MessageRow.conversation_id, "thread_ids"),
        MessageRow.direction == "out",
        MessageRow.provider_id.is_(None),
        MessageRow.state.in_(["sending", "unknown", "sent"]),
    )
    .order_by(MessageRow.id)
    .with_for_update(key_share=True),
    is_prepared=False,
)
_one_message = MessageRow.id == bindparam("message_id")
LOCKED_MESSAGE = compiled(_messages.where(_one_message).with_for_update(key_share=True))
SEND_OF_MESSAGE = compiled(_sends.where(SendRow.message_id == bindparam("message_id")).with_for_update())
SENDS_OF_MESSAGES = compiled(
    _sends.where(is_one_of(SendRow.message_id, "message_ids")).order_by(SendRow.id).with_for_update(),
    is_prepared=False,
)
LOCKED_SEND = compiled(_sends.where(SendRow.id == bindparam("send_id")).with_for_update())
MESSAGE_OF_SEND = compiled(
    _messages.where(
        MessageRow.id
        == select(SendRow.message_id)
        .where(SendRow.organization_id == _organization, SendRow.id == bindparam("send_id"))
        .scalar_subquery()
    ).with_for_update(key_share=True)
)
_of_its_message = and_(SendRow.organization_id == MessageRow.organization_id, SendRow.message_id == MessageRow.id)
CONVERSATION_OF_SEND = compiled(
    _conversations.where(
        ConversationRow.id
        == select(MessageRow.conversation_id)
        .join(SendRow, _of_its_message)
        .where(MessageRow.organization_id == _organization, SendRow.id == bindparam("send_id"))
        .scalar_subquery()
    )
)
CONVERSATION_OF_MESSAGE = compiled(
    _conversations.where(
        ConversationRow.id
        == select(MessageRow.conversation_id)
        .where(MessageRow.organization_id == _organization, _one_message)
        .scalar_subquery()
    )
)
#: Sends of messages that nobody has claimed.
QUEUED_SENDS = compiled(
    _sends.where(is_one_of(SendRow.message_id, "message_ids"), SendRow.state == "queued")
    .order_by(SendRow.id)
    .with_for_update(),
    is_prepared=False,
)
#: Claims of an organization exclude those who opt out, and only them.
_CONSENT = "hashtextextended('opt-outs:' || cast(cast(:organization_id as uuid) as text), 0)"
CLAIMING = compiled(text(f"select pg_advisory_xact_lock_shared({_CONSENT}) as held"))
OPTING_OUT = compiled(text(f"select pg_advisory_xact_lock({_CONSENT}) as held"))
_is_orphan = and_(
    SendRow.account_id == bindparam("account_id"), SendRow.state == "sending", SendRow.epoch < bindparam("epoch")
)
#: Sends that a connector before this one left behind, and their messages, to be locked before them.
ORPHANED_MESSAGES = compiled(
    _messages.where(
        MessageRow.id.in_(select(SendRow.message_id).where(SendRow.organization_id == _organization, _is_orphan))
    )
    .order_by(MessageRow.id)
    .with_for_update(key_share=True)
)
ORPHANS = compiled(_sends.where(_is_orphan).order_by(SendRow.id).with_for_update())
_is_suppressed = (
    select(Suppression.reason)
    .where(
        Suppression.organization_id == _organization,
        Suppression.channel == BdAccount.channel,
        func.mailbox(Suppression.address) == func.mailbox(SendRow.address),
    )
    .limit(1)
    .scalar_subquery()
)
#: Sends whose time has come, oldest first, with what is in the way of each. Their messages are locked with them: where
#: somebody else has either, both are left for the next claim.
WAITING = compiled(
    select(*columns_of(Send, SendRow), _is_suppressed.label("suppressed"))
    .join(MessageRow, _of_its_message)
    .join(BdAccount, and_(BdAccount.organization_id == SendRow.organization_id, BdAccount.id == SendRow.account_id))
    .where(
        SendRow.organization_id == _organization,
        SendRow.account_id == bindparam("account_id"),
        SendRow.state == "queued",
        SendRow.not_before <= func.clock_timestamp(),
        or_(bindparam("may_begin", type_=true().type), is_one_of(SendRow.source, "answers")),
    )
    .order_by(SendRow.not_before, SendRow.id)
    .limit(bindparam("row_limit"))
    .with_for_update(of=(MessageRow, SendRow), key_share=True, skip_locked=True)
)
#: What connectors wait for a hint of; the account's id follows.
SENDS_OF = "sends:"
DUE_IN = compiled(
    text("""
select cast(extract(epoch from min(not_before) - clock_timestamp()) as double precision) as seconds
from sends where organization_id = :organization_id and account_id = :account_id and state = 'queued'
""")
)
MESSAGES_BY_ID = compiled(
    _messages.where(is_one_of(MessageRow.id, "ids")).order_by(MessageRow.id).with_for_update(key_share=True),
    is_prepared=False,
)
CONVERSATIONS_BY_ID = compiled(_conversations.where(is_one_of(ConversationRow.id, "ids")), is_prepared=False)
#: What theirs in a conversation came last: an answer by mail refers to it.
LAST_RECEIVED = compiled(
    select(MessageRow.conversation_id, func.array_agg(MessageRow.provider_id).label("provider_ids"))
    .where(
        MessageRow.organization_id == _organization,
        is_one_of(MessageRow.conversation_id, "ids"),
        MessageRow.provider_id.is_not(None),
        MessageRow.direction != "note",
    )
    .group_by(MessageRow.conversation_id),
    is_prepared=False,
)
#: Messages of ours in a thread up to one of them, that nobody was known to have read.
UNREAD_UP_TO = compiled(
    _messages.where(
        _of_account,
        MessageRow.direction == "out",
        MessageRow.state == "sent",
        MessageRow.read_at.is_(None),
        MessageRow.conversation_id
        == select(ConversationRow.id)
        .where(
            ConversationRow.organization_id == _organization,
            ConversationRow.account_id == bindparam("account_id"),
            ConversationRow.id == bindparam("conversation_id"),
        )
        .scalar_subquery(),
        MessageRow.occurred_at <= bindparam("up_to"),
    ).with_for_update(key_share=True)
)
#: How many of theirs came into a conversation after an instant.
RECEIVED_AFTER = compiled(
    select(func.count().label("count")).where(
        MessageRow.organization_id == _organization,
        MessageRow.conversation_id == bindparam("conversation_id"),
        MessageRow.direction == "in",
        MessageRow.kind == "message",
        MessageRow.occurred_at > bindparam("after"),
    )
)
CANNED = Listing(select(CannedReply), filters={}, order=(CannedReply.id,))


@dataclass(frozen=True)
class Underway:
    """A send with its message and conversation, locked."""

    conversation: Conversation
    message: Message
    send: Send


def write_changes(unit: UnitOfWork, changes: Changes) -> None:
    """Queue what was decided."""
    unit.explain(_PROBLEMS)
    write(unit, changes, _TABLES)


def keep_payloads(unit: UnitOfWork, payloads: Iterable[tuple[UUID, dict[str, Any]]]) -> None:
    """Queue what messages came in as."""
    rows = [{"id": uuid7(), "message_id": message_id, "payload": payload} for message_id, payload in payloads]
    unit.insert(MessagePayload, *rows)


async def find_conversation(unit: UnitOfWork, conversation_id: UUID, *, owners: Owners) -> Conversation:
    """One conversation that the caller sees.

    Raises:
        NotFound: there is none.
    """
    given = {"id": conversation_id, "owners": owners}
    [rows] = await unit.fetch_all(CONVERSATIONS.bind(given, after=None, limit=1))
    return only(Conversation, rows, "conversation")


async def lock_conversation(
    unit: UnitOfWork, conversation_id: UUID, *more: Bound, owners: Owners, expected_version: int | None = None
) -> tuple[Conversation, list[list[Row]]]:
    """The same, locked until the transaction ends, and what more is asked for.

    Raises:
        NotFound, PreconditionFailed: there is none; it changed since the caller read it.
    """
    locked = _LOCKING.bind({"id": conversation_id, "owners": owners}, after=None, limit=1)
    rows, *answers = await unit.fetch_all(locked, *more)
    conversation = only(Conversation, rows, "conversation")
    if expected_version not in (None, conversation.version):
        raise PreconditionFailed
    return conversation, answers


async def find_message(unit: UnitOfWork, message_id: UUID, *, owners: Owners) -> Message:
    """One message of a conversation that the caller sees.

    Raises:
        NotFound: there is none.
    """
    message = only(Message, await unit.fetch(_MESSAGE, message_id=message_id), "message")
    if owners is not None:
        await find_conversation(unit, message.conversation_id, owners=owners)
    return message


async def lock_send(unit: UnitOfWork, send_id: UUID) -> Underway:
    """A send with what belongs to it.

    Raises:
        NotFound: there is none.
    """
    one = {"send_id": send_id}
    found = _underway(
        await unit.fetch_all(MESSAGE_OF_SEND.bind(**one), LOCKED_SEND.bind(**one), CONVERSATION_OF_SEND.bind(**one))
    )
    if found is None:
        raise NotFound("send")
    return found


async def lock_send_of(unit: UnitOfWork, message_id: UUID) -> Underway | None:
    """The send of a message, with what belongs to it; none where it was received, or written elsewhere."""
    one = {"message_id": message_id}
    return _underway(
        await unit.fetch_all(
            LOCKED_MESSAGE.bind(**one), SEND_OF_MESSAGE.bind(**one), CONVERSATION_OF_MESSAGE.bind(**one)
        )
    )


def _underway(answers: Sequence[list[Row]]) -> Underway | None:
    messages, sends, conversations = answers
    if not sends:
        return None
    return Underway(
        only(Conversation, conversations, "conversation"), only(Message, messages, "message"), as_state(Send, sends[0])
    )


def conversations(rows: Sequence[Row]) -> list[Conversation]:
    """Rows as states."""
    return as_states(Conversation, rows)


def messages(rows: Sequence[Row]) -> list[Message]:
    """Rows as states."""
    return as_states(Message, rows)


def sends(rows: Sequence[Row]) -> list[Send]:
    """Rows as states; what stands beside them is left out."""
    return as_states(Send, rows)


#: Messages stand in the timelines of whom and what their conversation is with and about, for those who see that.
SOURCES.append(
    Source(
        kinds=("message",),
        scope="conversations:read",
        table="""(select m.*, c.deal_id, c.contact_id, cast(null as uuid) as company_id, c.assignee_id, c.channel
            from messages m join conversations c
                on c.organization_id = m.organization_id and c.id = m.conversation_id)""",
        at="x.occurred_at",
        kind="'message'",
        type="'message.' || case x.direction when 'in' then 'received' when 'out' then 'sent' else 'noted' end",
        actor="x.author_id",
        data="""jsonb_build_object('conversation_id', x.conversation_id, 'channel', x.channel, 'direction', x.direction,
            'subject', x.subject, 'body', case when x.removed_at is null then x.text end, 'state', x.state)""",
        owner="x.assignee_id",
    )
)
