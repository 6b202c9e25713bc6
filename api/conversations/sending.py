"""Whatever is to be sent goes through here: queued by people and programs, claimed by a connector, told of by it.

    queued = await queue_message(unit, Outgoing(conversation_id=…, text="Hello", source=SendSource.REPLY))

What is in the way of a send is looked at in the transaction that claims it: who holds the account, its state and
budget, and whether the address may be written to.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.bd_accounts import records as accounts
from api.bd_accounts import rules as account_rules
from api.bd_accounts.rules import Account
from api.conversations import linking, records, rules, sends
from api.conversations.addresses import domain_of, spellings
from api.conversations.enclosing import enclosed
from api.conversations.html import safe
from api.conversations.state import Changes, Conversation, Link, Message, Send
from api.conversations.suppressions import suppress
from api.conversations.windows import Window
from api.kernel.changes import Change
from api.kernel.constraints import UnknownReference
from api.kernel.erasing import HOLD
from api.kernel.errors import Conflict, Unprocessable
from api.kernel.hints import hint
from api.kernel.unit_of_work import UnitOfWork
from contracts.channels import AccountState, Channel, Direction, SendSource, SendState

#: What a connector says where the provider knows no such address: nothing goes there again.
BOUNCED = "bounced"
#: The provider counts these, and so does the account's health.
_SIGNS = frozenset({BOUNCED, "blocked"})


class NobodyToWriteTo(Unprocessable):
    """A message needs a conversation, an address, or a contact that has one."""

    code, detail = "nobody_to_write_to", "Name a conversation, an address, or a contact that has one on this channel."
    pointer = "/address"


class AccountIsGone(Conflict):
    """The account is banned or revoked: nothing is sent from it any more."""

    code = "account_is_gone"

    def __init__(self, state: AccountState) -> None:
        super().__init__(f"This account is {state}; choose another one.")


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """What is to be sent: into a conversation, or from an account to an address or a contact, beginning one.

    `headers` go into a mail as they are (List-Unsubscribe); `source_id` is the draft, touch or rule; `hours` are those
    in which it may go.
    """

    text: str
    html: str | None = None
    subject: str | None = None
    conversation_id: UUID | None = None
    account_id: UUID | None = None
    address: str | None = None
    contact_id: UUID | None = None
    deal_id: UUID | None = None
    source: SendSource = SendSource.REPLY
    source_id: UUID | None = None
    author_id: UUID | None = None
    not_before: datetime | None = None
    hours: Window | None = None
    headers: dict[str, str] = field(default_factory=dict)
    file_ids: Sequence[UUID] = ()


@dataclass(frozen=True)
class Queued:
    """What waits to be sent, and where it stands."""

    conversation: Conversation
    message: Message
    send: Send


async def queue_message(unit: UnitOfWork, outgoing: Outgoing, *, owners: records.Owners = None) -> Queued:
    """Queue a message. It goes when its time has come and nothing is in the way.

    Raises:
        NotFound: no such conversation or account that `owners` let see.
        NobodyToWriteTo, AccountIsGone, UnknownReference, FilesNotTaken, FilesTooLarge: as they say.
    """
    changes: Changes = []
    if outgoing.conversation_id is not None:
        conversation, _ = await records.lock_conversation(unit, outgoing.conversation_id, owners=owners)
        account = await accounts.find_account(unit, conversation.account_id)
    else:
        account, [begun] = await _begin(unit, outgoing)
        changes.append(begun)
        conversation = begun.after
    if account.state in (AccountState.BANNED, AccountState.REVOKED):
        raise AccountIsGone(account.state)
    details: dict[str, Any] = {"headers": outgoing.headers} if outgoing.headers else {}
    if outgoing.file_ids:
        details["attachments"] = await enclosed(unit, outgoing.file_ids, account.channel, owners=owners)
    written, message, send = rules.write_message(
        conversation,
        text=outgoing.text,
        html=safe(outgoing.html) if outgoing.html else None,
        subject=outgoing.subject or _answering(conversation, is_new=bool(changes)),
        details=details,
        source=outgoing.source,
        source_id=outgoing.source_id,
        author_id=outgoing.author_id,
        not_before=outgoing.not_before,
        hours=outgoing.hours.document() if outgoing.hours else None,
        domain=domain_of(account.address),
        now=unit.now,
    )
    records.write_changes(unit, [*changes, *written])
    hint(unit, f"{records.SENDS_OF}{account.id}")
    after = next(change.after for change in written if isinstance(change.after, Conversation))
    return Queued(after, message, send)


def _answering(conversation: Conversation, *, is_new: bool) -> str | None:
    subject = conversation.subject
    if is_new or subject is None or subject.lower().startswith("re:"):
        return subject
    return f"Re: {subject}"


async def _begin(unit: UnitOfWork, outgoing: Outgoing) -> tuple[Account, list[Change[Conversation]]]:
    """A conversation with an address: the one there is, where the channel has one per person."""
    if outgoing.account_id is None:
        raise UnknownReference("account_id", "account")
    account, _ = await accounts.lock_account(unit, outgoing.account_id)
    address, link = await _person(unit, account, outgoing)
    is_mail = account.channel is Channel.EMAIL
    key = f"new:{unit.now.timestamp()}:{address}" if is_mail else address
    found = await unit.fetch(records.THREADS, account_id=account.id, thread_keys=[key], provider_ids=[], addresses=[])
    if found:
        [conversation] = records.conversations(found)
        return account, [Change(conversation, conversation)]
    begun = rules.begin(
        account,
        link,
        thread_key=key,
        address=address,
        subject=outgoing.subject,
        direction=Direction.OUT,
        at=unit.now,
        now=unit.now,
    )
    if outgoing.author_id is not None and begun.after.assignee_id is None:
        # whoever begins it looks after it, until somebody else does
        owned = replace(begun.after, assignee_id=outgoing.author_id)
        begun = replace(begun, after=owned, event=rules.opened(owned))
    return account, [begun]


async def _person(unit: UnitOfWork, account: Account, outgoing: Outgoing) -> tuple[str, Link]:
    """Who is written to, and what is known of them."""
    if outgoing.contact_id is None:
        if not outgoing.address:
            raise NobodyToWriteTo
        [rows] = await unit.fetch_all(linking.contacts_at(account.channel, [outgoing.address]))
        link = linking.links(rows).get(outgoing.address.lower(), Link())
        return outgoing.address, replace(link, deal_id=outgoing.deal_id or link.deal_id)
    _, rows = await unit.fetch_all(
        HOLD.bind(),  # who is erased meanwhile would be written to at the address from before
        linking.GIVEN_CONTACT.bind(contact_id=outgoing.contact_id, channel=account.channel.value),
    )
    if not rows:
        raise UnknownReference("contact_id", "contact")
    [contact] = rows
    address = outgoing.address or (
        contact.email if account.channel is Channel.EMAIL else contact.handle or contact.phone
    )
    if not address:
        raise NobodyToWriteTo
    return address, Link(contact.contact_id, outgoing.deal_id or contact.deal_id, contact.owner_id)


@dataclass(frozen=True)
class Job:
    """A send that a connector shall do now, with all that it needs."""

    conversation: Conversation
    message: Message
    send: Send
    references: Sequence[str]


async def claim_sends(unit: UnitOfWork, account_id: UUID, epoch: int, *, limit: int) -> tuple[Account, list[Job]]:
    """Claim what may be sent now, oldest first. What an earlier connector left behind is settled first.

    Raises:
        NotFound, LeaseLost: as they say.
    """
    account, [_, left, _, *condition] = await accounts.lock_account(
        unit,
        account_id,
        records.ORPHANED_MESSAGES.bind(account_id=account_id, epoch=epoch),
        records.ORPHANS.bind(account_id=account_id, epoch=epoch),
        # whoever wants no more waits for claims that began before, and later ones know it
        records.CLAIMING.bind(),
        *accounts.condition(account_id),
    )
    account_rules.expect_holder(account, epoch, unit.now)
    await _settle_orphans(unit, account, records.sends(left))
    is_by_hand = account.channel is Channel.LINKEDIN
    if not account.is_sending or is_by_hand:
        return account, []
    rest = account_rules.budget(account, accounts.read_condition(condition), unit.now)
    may_begin = rest > 0 and account.state is AccountState.ACTIVE
    rows = await unit.fetch(
        records.WAITING,
        account_id=account_id,
        may_begin=may_begin,
        answers=[one.value for one in sends.ANSWERS],
        row_limit=min(limit, rest) if may_begin else limit,
    )
    waiting = list(zip(records.sends(rows), (row.suppressed for row in rows), strict=True))
    return account, await _claim(unit, waiting, epoch)


async def _settle_orphans(unit: UnitOfWork, account: Account, left: list[Send]) -> None:
    if not left:
        return
    messages, conversations = await _belonging(unit, left)
    changes: Changes = []
    for send in left:
        after = sends.orphan(send, account.channel, unit.now)
        message = messages[send.message_id]
        changes += [
            Change(send, after),
            rules.finished(conversations[message.conversation_id], message, after, unit.now),
        ]
    records.write_changes(unit, changes)


async def _claim(unit: UnitOfWork, waiting: list[tuple[Send, str | None]], epoch: int) -> list[Job]:
    if not waiting:
        return []
    messages, conversations = await _belonging(unit, [send for send, _ in waiting])
    answers = await unit.fetch(records.LAST_RECEIVED, ids=list(conversations))
    references = {row.conversation_id: row.provider_ids for row in answers}
    changes: Changes = []
    jobs = []
    for send, suppressed in waiting:
        message = messages[send.message_id]
        conversation = conversations[message.conversation_id]
        if suppressed is not None:
            after = sends.refuse(send, "suppressed", unit.now)
            changes += [Change(send, after), rules.finished(conversation, message, after, unit.now)]
            continue
        if (later := sends.postponed_by_hours(send, unit.now)) is not None:
            changes.append(Change(send, later))
            continue
        after = sends.claim(send, epoch=epoch, now=unit.now)
        changes += [Change(send, after), Change(message, replace(message, state=after.state.value))]
        others = [one for one in references.get(conversation.id, ()) if one != message.provider_id]
        jobs.append(Job(conversation, message, after, others))
    records.write_changes(unit, changes)
    return jobs


async def _belonging(unit: UnitOfWork, wanted: list[Send]) -> tuple[dict[UUID, Message], dict[UUID, Conversation]]:
    found = await unit.fetch(records.MESSAGES_BY_ID, ids=[send.message_id for send in wanted])
    messages = {one.id: one for one in records.messages(found)}
    threads = await unit.fetch(records.CONVERSATIONS_BY_ID, ids=[one.conversation_id for one in messages.values()])
    return messages, {one.id: one for one in records.conversations(threads)}


async def opt_out(unit: UnitOfWork, channel: Channel, addresses: Iterable[str], *, reason: str) -> None:
    """Nothing more is sent to these addresses, from the end of this transaction on: no claim goes by it."""
    spelled = {one for address in addresses for one in spellings(address)}
    if not spelled:
        return
    await unit.fetch(records.OPTING_OUT)
    for address in sorted(spelled):
        suppress(unit, channel, address, reason)


async def withdraw(unit: UnitOfWork, message_ids: Collection[UUID]) -> None:
    """What of these messages nobody has claimed yet is not sent."""
    wanted = sorted(message_ids)
    _, queued = await unit.fetch_all(
        records.MESSAGES_BY_ID.bind(ids=wanted), records.QUEUED_SENDS.bind(message_ids=wanted)
    )
    waiting = records.sends(queued)
    if not waiting:
        return
    messages, conversations = await _belonging(unit, waiting)
    changes: Changes = []
    for send in waiting:
        after, message = sends.refuse(send, "withdrawn", unit.now), messages[send.message_id]
        told = rules.finished(conversations[message.conversation_id], message, after, unit.now)
        changes += [Change(send, after), told]
    records.write_changes(unit, changes)


async def tell_result(
    unit: UnitOfWork,
    send_id: UUID,
    *,
    state: SendState,
    epoch: int,
    reason: str | None = None,
    provider_id: str | None = None,
    seconds: int = 0,
) -> Message:
    """What became of a claimed send: sent, failed, unknown, or `queued` where the provider certainly did not take it.

    Raises:
        NotFound, SendNotUnderWay: as they say.
    """
    found = await records.lock_send(unit, send_id)
    if state is SendState.QUEUED:
        after: Send | None = sends.postpone(found.send, seconds=seconds, epoch=epoch, now=unit.now)
    else:
        after = sends.finish(found.send, state, reason=reason, epoch=epoch, now=unit.now)
    if after is None:
        return found.message
    if after.failure is not None and after.failure in _SIGNS:
        accounts.note_sign(unit, after.account_id, after.failure, id=uuid7())
    if after.failure == BOUNCED:
        suppress(unit, found.conversation.channel, after.address, BOUNCED)
    named = replace(found.message, provider_id=provider_id or found.message.provider_id)
    return _decided(unit, found, named, after)


async def decide(unit: UnitOfWork, message: Message, decision: str) -> Message:
    """What a person decides about a send that failed or is unknown: `retry` or `confirm`.

    Raises:
        NothingToRetry: it is neither, or was not sent from here.
    """
    found = await records.lock_send_of(unit, message.id)
    if found is None:
        raise sends.NothingToRetry(message.state)
    by_hand = found.conversation.channel is Channel.LINKEDIN
    if decision == "retry":
        after = sends.retry(found.send, unit.now)
        hint(unit, f"{records.SENDS_OF}{after.account_id}")
    else:
        after = sends.confirm(found.send, unit.now, is_by_hand=by_hand)
    return _decided(unit, found, found.message, after)


def _decided(unit: UnitOfWork, found: records.Underway, named: Message, after: Send) -> Message:
    told = rules.finished(found.conversation, named, after, unit.now)
    records.write_changes(unit, [Change(found.send, after), replace(told, before=found.message)])
    return told.after
