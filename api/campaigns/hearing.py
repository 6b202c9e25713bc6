"""What came of what a campaign wrote: it was sent or came back, they answered, are away or erased, or want no more.

Heard of from events, in the transaction in which each is claimed. A message of ours is no answer, whoever wrote it.
"""

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text

from api.campaigns import journeys, records
from api.campaigns.state import Changes, Recipient
from api.conversations.sending import opt_out, withdraw
from api.db.statements import compiled
from api.kernel.database import Database
from api.kernel.unit_of_work import UnitOfWork
from contracts.channels import Channel, MessageKind
from contracts.events.campaigns import Ending
from contracts.events.conversations import MessageFailed, MessageReceived, MessageSent
from contracts.events.envelope import Envelope, Event
from contracts.events.relations import ContactErased

CONSUMER = "campaigns"
TYPES = ("message.sent", "message.failed", "message.received", "contact.erased")

#: An answer that is nothing but this, in the languages of those who are likely to get our mails.
_STOP = re.compile(
    r"^\W*(stop|unsubscribe|remove me|opt out|abmelden|austragen|стоп|отписаться|désabonner|baja|rimuovi)\W*$",
    re.IGNORECASE,
)
_WORDS = compiled(
    text("""
select m.text, c.channel, c.address from messages m
join conversations c on c.organization_id = m.organization_id and c.id = m.conversation_id
where m.organization_id = :organization_id and m.id = :message_id
""")
)
_ADDRESSES = compiled(
    text("""
select 'email' as channel, email as address from contacts
where organization_id = :organization_id and id = :contact_id and email is not null
union all
select channel, address from channel_identities
where organization_id = :organization_id and contact_id = :contact_id
union all
select 'telegram', phone from contacts
where organization_id = :organization_id and id = :contact_id and phone is not null
""")
)
# which of a batch's events are about what a campaign wrote, or are from somebody whom one writes to
_OF_TOUCHES = compiled(text("select message_id from campaign_touches where message_id = any(:ids)"))
_OF_PEOPLE = compiled(
    text("""
select contact_id as id from campaign_recipients where contact_id = any(:contacts) and state <> 'excluded'
union
select conversation_id from campaign_touches where conversation_id = any(:conversations)
""")
)


async def concerns(database: Database, events: Sequence[Envelope[Event]]) -> Collection[UUID]:
    """The ids of events that a campaign hears."""
    ours = [event for event in events if isinstance(event.data, MessageSent | MessageFailed)]
    theirs = [(event, event.data) for event in events if isinstance(event.data, MessageReceived)]
    erased = [event for event in events if isinstance(event.data, ContactErased)]
    async with database.unit(None) as unit:
        touches, people = await unit.fetch_all(
            _OF_TOUCHES.bind(ids=[event.aggregate_id for event in ours]),
            _OF_PEOPLE.bind(
                contacts=[
                    *(data.contact_id for _, data in theirs if data.contact_id is not None),
                    *(event.aggregate_id for event in erased),
                ],
                conversations=[data.conversation_id for _, data in theirs],
            ),
        )
    messages, known = {row.message_id for row in touches}, {row.id for row in people}
    return {
        *(event.id for event in ours if event.aggregate_id in messages),
        *(event.id for event, data in theirs if {data.contact_id, data.conversation_id} & known),
        *(event.id for event in erased if event.aggregate_id in known),
    }


async def hear(unit: UnitOfWork, event: Envelope[Event]) -> None:
    """Take one event in."""
    match event.data:
        case MessageSent():
            await _hear_of_touch(unit, event, None)
        case MessageFailed() as failure:
            await _hear_of_touch(unit, event, failure)
        case MessageReceived() as message:
            await _hear_from(unit, event, message)
        case ContactErased():
            await _end_for(unit, event.aggregate_id)
        case _:
            return


async def _hear_of_touch(unit: UnitOfWork, event: Envelope[Event], failure: MessageFailed | None) -> None:
    touch = records.as_touch((await unit.fetch_all(records.touch_of(event.aggregate_id)))[0])
    if touch is None:
        return
    campaign = await records.find_campaign(unit, touch.campaign_id, owners=None)
    [recipient] = await records.lock_recipients(unit, [touch.recipient_id])
    # the recipient is locked now, so nobody else changes the touch
    touch = (await records.touches(unit, [touch.id]))[touch.id]
    if failure is None:
        decided = journeys.sent(campaign, recipient, touch, unit.now, at=event.occurred_at)
    else:
        decided = journeys.failed(recipient, touch, unit.now, reason=failure.reason, is_unknown=failure.is_unknown)
    records.write(unit, decided)


async def _end_for(unit: UnitOfWork, contact_id: UUID) -> None:
    found = await unit.fetch(records.ACTIVE_OF_CONTACT, contact_id=contact_id)
    recipients = await records.lock_recipients(unit, [row.id for row in found])
    active = [one for one in recipients if one.is_active]
    records.write(unit, [journeys.end(one, Ending.STOPPED, unit.now, reason="erased") for one in active])
    await take_back(unit, active)


async def _hear_from(unit: UnitOfWork, event: Envelope[Event], message: MessageReceived) -> None:
    if message.kind is MessageKind.BOUNCE:
        return  # the message that came back says so itself
    found = await unit.fetch(
        records.CONCERNED,
        contact_id=message.contact_id,
        conversation_id=message.conversation_id,
        at=event.occurred_at,
    )
    if not found:
        return
    recipients = await records.lock_recipients(unit, [row.id for row in found])
    if message.kind is MessageKind.AUTO_REPLY:
        for recipient in recipients:
            campaign = await records.find_campaign(unit, recipient.campaign_id, owners=None)
            records.write(unit, journeys.away(campaign, recipient, unit.now))
        return
    [words] = await unit.fetch(_WORDS, message_id=event.aggregate_id)
    if _STOP.match(first_line(words.text)):
        addresses = {(words.channel, words.address)}
        await forget_people(unit, recipients, addresses=addresses, how="reply")
        return
    await _stop_for_answer(unit, recipients, event)


def first_line(words: str) -> str:
    """What somebody wrote, before what they quote."""
    return next((line.strip() for line in words.splitlines() if line.strip()), "")


async def _stop_for_answer(unit: UnitOfWork, recipients: list[Recipient], event: Envelope[Event]) -> None:
    companies = [one.company_id for one in recipients if one.company_id is not None]
    others = await unit.fetch(
        records.COLLEAGUES,
        campaign_ids=[one.campaign_id for one in recipients],
        company_ids=companies,
        ids=[one.id for one in recipients],
    )
    decided: Changes = []
    for recipient in recipients:
        decided += journeys.replied(recipient, event.aggregate_id, unit.now, at=event.occurred_at)
    colleagues = await records.lock_recipients(unit, [row.id for row in others])
    decided += [
        journeys.end(one, Ending.STOPPED, unit.now, reason="colleague_replied") for one in colleagues if one.is_active
    ]
    records.write(unit, decided)
    await take_back(unit, [*recipients, *colleagues])


async def take_back(unit: UnitOfWork, recipients: Collection[Recipient]) -> None:
    """What waits to be sent to these people is not sent."""
    newest = await records.touches(unit, [one.touch_id for one in recipients])
    await withdraw(unit, [one.message_id for one in newest.values() if one.message_id is not None])


async def forget_people(
    unit: UnitOfWork, recipients: list[Recipient], *, addresses: Collection[tuple[str, str]], how: str
) -> None:
    """They want no more: of any campaign, at any address of theirs on that channel."""
    channels = {channel for channel, _ in addresses}
    every = set(addresses)
    active: dict[UUID, Recipient] = {one.id: one for one in recipients}
    for contact_id in {one.contact_id for one in recipients}:
        known, others = await unit.fetch_all(
            _ADDRESSES.bind(contact_id=contact_id), records.ACTIVE_OF_CONTACT.bind(contact_id=contact_id)
        )
        every |= {(row.channel, row.address) for row in known if row.channel in channels}
        missing = [row.id for row in others if row.id not in active]
        active |= {one.id: one for one in await records.lock_recipients(unit, missing)}
    for channel in sorted(channels):
        spelled = [address for on, address in every if on == channel]
        await opt_out(unit, Channel(channel), spelled, reason="unsubscribed")
    decided = [change for one in active.values() for change in journeys.unsubscribed(one, unit.now, how=how)]
    records.write(unit, decided)
    await take_back(unit, active.values())
