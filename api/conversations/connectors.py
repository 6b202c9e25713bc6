"""What connectors ask of `/v1/messages` and `/v1/sends`. They hold the account by a lease and say its epoch."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request

from api.bd_accounts import records as accounts
from api.bd_accounts.connectors import Connector
from api.bd_accounts.rules import LeaseLost, expect_holder
from api.conversations import inbound, records, rules, sending
from api.conversations.connector_schemas import (
    ChangeAnswer,
    ChangeBatch,
    InboundAnswer,
    InboundBatch,
    MessageChange,
    MessageSeen,
    SendFile,
    SendJob,
    SendJobs,
    SendResult,
    SendsAsk,
    SendsDue,
    TakenRead,
)
from api.conversations.html import as_text, safe
from api.conversations.schemas import MessageRead
from api.conversations.sending import Job
from api.conversations.sends import SendNotUnderWay
from api.conversations.state import Changes, Conversation, Incoming, Message
from api.edge.dependencies import Unit
from api.edge.routing import OutsideRoute, problems, slice_router
from api.edge.services import services_of
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import UnitOfWork

messages = slice_router(prefix="/messages", tags=["connectors"])
sends = slice_router(prefix="/sends", tags=["connectors"])
waiting = slice_router(prefix="/sends", tags=["connectors"], route_class=OutsideRoute)


@messages.post("/inbound", responses=problems(NotFound, LeaseLost))
async def take_in_messages(body: InboundBatch, caller: Connector, unit: Unit) -> InboundAnswer:
    """Take in what a connector saw. Known by account and the provider's id: again is not twice."""
    batch = [_incoming(seen) for seen in body.messages]
    payloads = [_storable(seen.payload) for seen in body.messages]
    taken = await inbound.take_in(unit, body.account_id, body.epoch, batch, payloads)
    return InboundAnswer(messages=[TakenRead.model_validate(one) for one in taken])


@messages.post("/changes", responses=problems(NotFound, LeaseLost))
async def change_messages(body: ChangeBatch, caller: Connector, unit: Unit) -> ChangeAnswer:
    """Take in what happened to known messages: edits, deletions, reading."""
    named = [one.provider_id for one in body.changes]
    seen = [one.provider_id for one in body.changes if one.change == "seen"]
    account, [threads, rows] = await accounts.lock_account(
        unit,
        body.account_id,
        records.THREADS.bind(account_id=body.account_id, provider_ids=seen, thread_keys=[], addresses=[]),
        records.KNOWN.bind(account_id=body.account_id, provider_ids=named),
    )
    expect_holder(account, body.epoch, unit.now)
    known = {one.provider_id: one for one in records.messages(rows) if one.provider_id}
    changes = await _seen(unit, records.conversations(threads), [known[one] for one in seen if one in known])
    payloads: list[tuple[UUID, dict[str, Any]]] = []
    unknown = []
    for one in body.changes:
        message = known.get(one.provider_id)
        if message is None:
            unknown.append(one.provider_id)
            continue
        made = await _changed(unit, body.account_id, message, one)
        for change in made:
            if isinstance(change.after, Message) and change.after.provider_id:
                known[change.after.provider_id] = change.after
        changes += made
        if made and one.payload:
            payloads.append((message.id, _storable(one.payload)))
    records.write_changes(unit, changes)
    records.keep_payloads(unit, payloads)
    return ChangeAnswer(changed=len(changes), unknown=unknown)


async def _seen(unit: UnitOfWork, threads: list[Conversation], messages: list[Message]) -> Changes:
    """What nobody has read yet in conversations that somebody read in another program, up to the newest of these."""
    newest: dict[UUID, datetime] = {}
    for one in messages:
        newest[one.conversation_id] = max(one.occurred_at, newest.get(one.conversation_id, one.occurred_at))
    unread = [one for one in threads if one.unread_count and one.id in newest]
    asked = [records.RECEIVED_AFTER.bind(conversation_id=one.id, after=newest[one.id]) for one in unread]
    answers = await unit.fetch_all(*asked) if asked else []
    return [
        change for thread, [row] in zip(unread, answers, strict=True) for change in rules.see_up_to(thread, row.count)
    ]


async def _changed(unit: UnitOfWork, account_id: UUID, message: Message, one: MessageChange) -> Changes:
    at = min(one.at, unit.now)
    match one.change:
        case "edited":
            html = safe(one.html) if one.html else None
            return rules.edit(message, text=one.text or (as_text(html) if html else ""), html=html, at=at, now=unit.now)
        case "removed":
            return rules.remove(message, at=at, now=unit.now)
        case "gone":
            return rules.leave(message, at=at, now=unit.now)
        case "seen":
            return []
        case "read" if one.thread_key is None:
            return rules.read(message, at=at, now=unit.now)
        case _:
            return await _read_up_to(unit, account_id, message, at)


async def _read_up_to(unit: UnitOfWork, account_id: UUID, newest: Message, at: datetime) -> Changes:
    where = {"account_id": account_id, "conversation_id": newest.conversation_id, "up_to": newest.occurred_at}
    rows = await unit.fetch(records.UNREAD_UP_TO, **where)
    return [change for one in records.messages(rows) for change in rules.read(one, at=at, now=unit.now)]


@sends.post("/claim", responses=problems(NotFound, LeaseLost))
async def claim_sends(body: SendsAsk, caller: Connector, unit: Unit) -> SendJobs:
    """Take what the account should send now, oldest first: each is then `sending`, and its result is to be told."""
    account, jobs = await sending.claim_sends(unit, body.account_id, body.epoch, limit=body.limit)
    return SendJobs(sends=[_job(job) for job in jobs], news_at=account.news_at)


@waiting.get("/due", responses=problems(NotFound))
async def await_sends(
    account_id: UUID,
    caller: Connector,
    unit: Unit,
    request: Request,
    seconds: Annotated[float, Query(ge=0, le=30, description="How long at most.")] = 3.0,
) -> SendsDue:
    """Wait until the account may have something to send, or its provider has told of news. To be claimed then."""
    hints = services_of(request).database.hints
    bell = hints.bell(f"{records.SENDS_OF}{account_id}")  # before the look: what is queued meanwhile rings
    try:
        accounts_found, [due] = await unit.fetch_all(
            accounts.ACCOUNT.bind(account_id=account_id), records.DUE_IN.bind(account_id=account_id)
        )
        accounts.one(accounts_found)
        rest = seconds if due.seconds is None else min(seconds, due.seconds)
        if rest > 0:
            await bell.wait(rest)
    finally:
        hints.forget(bell)
    return SendsDue(is_due=rest <= 0)


@sends.post("/{send_id}/result", responses=problems(NotFound, SendNotUnderWay))
async def tell_send_result(send_id: UUID, body: SendResult, caller: Connector, unit: Unit) -> MessageRead:
    """Say what became of a send."""
    message = await sending.tell_result(unit, send_id, **body.model_dump())
    return MessageRead.model_validate(message)


def _incoming(seen: MessageSeen) -> Incoming:
    html = safe(seen.html) if seen.html else None
    details: dict[str, Any] = {
        "to": seen.to,
        "references": seen.references,
        "attachments": [one.model_dump() for one in seen.attachments],
    }
    if seen.bounced is not None:
        details["bounced"] = seen.bounced.model_dump()
    return Incoming(
        provider_id=_clean(seen.provider_id),
        thread_key=_clean(seen.thread_key),
        aliases=tuple(_clean(one) for one in seen.aliases),
        address=seen.address,
        direction=seen.direction,
        kind=seen.kind,
        sender=_clean(seen.sender) if seen.sender else None,
        subject=seen.subject,
        text=_clean(seen.text) or (as_text(html) if html else ""),
        html=html,
        details=details,
        occurred_at=seen.occurred_at,
        is_seen=seen.is_seen,
    )


def _clean(text: str) -> str:
    """PostgreSQL takes no NUL, and a stranger's mail may hold one."""
    return text.replace("\x00", "\ufffd")


def _storable(value: Any) -> Any:  # noqa: ANN401 # any JSON
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(key): _storable(one) for key, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list) else value


def _job(job: Job) -> SendJob:
    return SendJob(
        send_id=job.send.id,
        message_id=job.message.id,
        channel=job.conversation.channel,
        address=job.send.address,
        thread_key=job.conversation.thread_key,
        provider_id=job.message.provider_id,
        subject=job.message.subject,
        text=job.message.text,
        html=job.message.html,
        headers=job.message.details.get("headers", {}),
        references=[*job.references],
        files=[SendFile(**one) for one in job.message.details.get("attachments", ()) if "file_id" in one],
        attempts=job.send.attempts,
    )
