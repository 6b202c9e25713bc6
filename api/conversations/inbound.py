"""What connectors saw, taken in once: a message is known by its account and the provider's id of it.

A message joins the thread that it refers to; by mail, else the one of the same subject and person. One of ours that is
seen at the provider settles its send, whoever sent it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.bd_accounts import records as accounts
from api.bd_accounts.rules import Account, expect_holder
from api.conversations import linking, records, rules, sends
from api.conversations.state import Changes, Conversation, Incoming, Link, Message, Send
from api.conversations.suppressions import came_back, suppress
from api.kernel.changes import Change
from api.kernel.unit_of_work import UnitOfWork
from contracts.channels import Channel, Direction, MessageKind, SendState

_PREFIX = re.compile(r"^\s*((re|fw|fwd|aw|wg|sv|antw|отв|ответ)\s*(\[\d+\])?\s*:\s*)+", re.IGNORECASE)


@dataclass(frozen=True)
class Taken:
    """What became of one message: it is new, or was known."""

    provider_id: str
    message_id: UUID
    conversation_id: UUID
    is_new: bool


@dataclass
class _World:
    """What is known while a batch is taken in."""

    account: Account
    messages: dict[str, Message]
    threads: dict[UUID, Conversation]
    sends: dict[UUID, Send]
    links: dict[str, Link]
    nameless: list[Message]
    changes: Changes = field(default_factory=list)
    came_back: dict[UUID, Conversation] = field(default_factory=dict)

    def thread_of(self, incoming: Incoming) -> Conversation | None:
        """Where a message belongs, if that is known."""
        for reference in reversed(incoming.details.get("references", ())):
            if reference in self.messages:
                return self.threads.get(self.messages[reference].conversation_id)
        keys = {incoming.thread_key, *incoming.aliases}
        by_key = (one for one in self.threads.values() if one.thread_key in keys)
        return next(by_key, None) or self._same_subject(incoming)

    def _same_subject(self, incoming: Incoming) -> Conversation | None:
        if self.account.channel is not Channel.EMAIL or not _PREFIX.match(incoming.subject or ""):
            return None
        wanted = bare_subject(incoming.subject)
        alike = [
            one
            for one in self.threads.values()
            if one.address.lower() == incoming.address.lower() and bare_subject(one.subject) == wanted
        ]
        return max(alike, key=lambda one: one.last_message_at, default=None)

    def apply(self, changes: Changes) -> None:
        """Move on to what was decided."""
        self.changes += changes
        for change in changes:
            after = change.after
            if isinstance(after, Conversation):
                self.threads[after.id] = after
            elif isinstance(after, Message) and after.provider_id:
                self.messages[after.provider_id] = after
            elif isinstance(after, Send):
                self.sends[after.message_id] = after


def bare_subject(subject: str | None) -> str:
    """A subject without what answering puts before it."""
    return _PREFIX.sub("", subject or "").strip().lower()


async def take_in(
    unit: UnitOfWork, account_id: UUID, epoch: int, batch: Sequence[Incoming], payloads: Sequence[dict[str, Any]]
) -> list[Taken]:
    """Take in messages of one account, each once, in the order given.

    Raises:
        NotFound: no such account here.
        LeaseLost: another connector holds it.
    """
    world = await _read(unit, account_id, epoch, batch)
    taken, kept = [], []
    for incoming, payload in zip(batch, payloads, strict=True):
        known = world.messages.get(incoming.provider_id) or _unsettled(world, incoming)
        if known is not None:
            _settle(unit, world, known, incoming)
            taken.append(Taken(incoming.provider_id, known.id, known.conversation_id, is_new=False))
            continue
        made = _take(unit, world, incoming)
        kept.append((made.id, payload))
        taken.append(Taken(incoming.provider_id, made.id, made.conversation_id, is_new=True))
    records.write_changes(unit, world.changes)
    records.keep_payloads(unit, kept)
    for address in await came_back(unit, world.came_back.values()):
        suppress(unit, world.account.channel, address, "bounced")
    return taken


async def _read(unit: UnitOfWork, account_id: UUID, epoch: int, batch: Sequence[Incoming]) -> _World:
    named = {incoming.provider_id for incoming in batch}
    named |= {reference for incoming in batch for reference in incoming.details.get("references", ())}
    named |= {bounced["provider_id"] for incoming in batch if (bounced := incoming.details.get("bounced"))}
    addresses = [incoming.address.lower() for incoming in batch]
    given = {"account_id": account_id, "provider_ids": list(named)}
    keys = [key for incoming in batch for key in (incoming.thread_key, *incoming.aliases)]
    account, [threads] = await accounts.lock_account(
        unit, account_id, records.THREADS.bind(**given, thread_keys=keys, addresses=addresses)
    )
    expect_holder(account, epoch, unit.now)
    contacts, found, messages = await unit.fetch_all(
        linking.contacts_at(account.channel, addresses),
        records.NAMELESS.bind(account_id=account_id, thread_ids=[row.id for row in threads]),
        # after those without a name: what its sender tells meanwhile to be sent has one by now, or waits for us
        records.KNOWN.bind(**given),
    )
    ours = records.messages(found)
    known = {one.provider_id: one for one in records.messages(messages) if one.provider_id}
    sent = await unit.fetch(records.SENDS_OF_MESSAGES, message_ids=[one.id for one in (*known.values(), *ours)])
    return _World(
        account,
        known,
        {one.id: one for one in records.conversations(threads)},
        {one.message_id: one for one in records.sends(sent)},
        linking.links(contacts),
        ours,
    )


def _take(unit: UnitOfWork, world: _World, incoming: Incoming) -> Message:
    thread = world.thread_of(incoming)
    if thread is None:
        begun = rules.begin(
            world.account,
            world.links.get(incoming.address.lower(), Link()),
            thread_key=incoming.thread_key,
            address=incoming.address,
            subject=incoming.subject,
            direction=incoming.direction,
            at=min(incoming.occurred_at, unit.now),
            now=unit.now,
        )
        world.apply([begun])
        thread = begun.after
    changes = rules.receive(thread, incoming, unit.now)
    world.apply(changes)
    if incoming.kind is MessageKind.BOUNCE:
        _bounce(unit, world, incoming)
    return next(change.after for change in changes if isinstance(change.after, Message))


def _bounce(unit: UnitOfWork, world: _World, incoming: Incoming) -> None:
    """What came back failed; an address that does not exist is not written to again, nor one that is always full."""
    bounced = incoming.details.get("bounced") or {}
    message = world.messages.get(bounced.get("provider_id", ""))
    if message is None or message.direction is not Direction.OUT:
        return  # anybody can write a report; those that we wrote to alone know what our mail is called
    if changes := rules.bounce(message, unit.now):  # once, however many reports there are of it
        world.apply(changes)
        accounts.note_sign(unit, world.account.id, "bounced", id=uuid7())
    thread, send = world.threads.get(message.conversation_id), world.sends.get(message.id)
    if thread is not None:
        world.came_back[thread.id] = thread
        if bounced.get("is_hard"):
            # whom the report names is where the mail was forwarded to, or nobody, or whoever they like
            suppress(unit, world.account.channel, send.address if send else thread.address, "bounced")


def _unsettled(world: _World, incoming: Incoming) -> Message | None:
    """A message of ours that has no name at the provider yet, and is this one by its words."""
    if incoming.direction is not Direction.OUT:
        return None
    for message in world.nameless:
        thread = world.threads.get(message.conversation_id)
        is_there = thread is not None and thread.thread_key in (incoming.thread_key, *incoming.aliases)
        if is_there and message.text.strip() == incoming.text.strip():
            world.nameless.remove(message)
            return message
    return None


def _settle(unit: UnitOfWork, world: _World, known: Message, incoming: Incoming) -> None:
    """It is there again; one of ours was sent, then."""
    if back := rules.come_back(known, unit.now):
        world.apply(back)
        known = world.messages.get(incoming.provider_id, known)
    send = world.sends.get(known.id)
    thread = world.threads.get(known.conversation_id)
    if known.direction is not Direction.OUT or send is None or thread is None:
        return
    if (seen := sends.seen(send, unit.now)) is None or send.state is SendState.QUEUED:
        return
    told = rules.finished(thread, replace(known, provider_id=incoming.provider_id), seen, unit.now)
    world.apply([Change(send, seen), replace(told, before=known)])
