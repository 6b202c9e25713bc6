"""Has the next step go to whoever's turn it is: everything that one turn needs is one transaction, so it happens once.

The campaign is locked meanwhile: it neither pauses nor ends between the look and the queueing, and no two workers
count the same day's allowance.
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from api.bd_accounts import records as accounts
from api.bd_accounts import rules as account_rules
from api.bd_accounts.rules import Account
from api.campaigns import audience, conditions, journeys, records, rules, texts, zones
from api.campaigns.audience import Exclusion
from api.campaigns.document import Hours, Step
from api.campaigns.links import Links
from api.campaigns.state import Campaign, CampaignState, Changes, Recipient, Touch
from api.conversations.sending import Outgoing, queue_message
from api.conversations.windows import Window
from api.kernel.changes import Change
from api.kernel.custom import defining, definitions
from api.kernel.erasing import hold_erasures
from api.kernel.errors import CrmError
from api.kernel.unit_of_work import Row, UnitOfWork
from api.tasks import records as tasks
from api.tasks import rules as task_rules
from contracts.channels import Channel, SendSource
from contracts.events.campaigns import Ending

_log = logging.getLogger(__name__)

#: Recipients of one transaction: enough to be worth it, few enough not to keep others from their account.
BATCH = 20
#: How long whoever finds no room today waits before another look.
_NO_ROOM = timedelta(minutes=10)


@dataclass
class _Turn:
    """What the turns of one transaction share."""

    unit: UnitOfWork
    campaign: Campaign
    links: Links
    zone: str
    room: int
    accounts: dict[Channel, list[Account]]
    rooms: dict[UUID, int]
    known: dict[UUID, Row]
    custom: dict[str, UUID]
    threads: dict[tuple[UUID, str], Row]
    steps: list[Step] = field(default_factory=list)
    decided: Changes = field(default_factory=list)


async def advance(unit: UnitOfWork, campaign_id: UUID, links: Links) -> int:
    """Let up to a batch of recipients take their turns; how many did anything."""
    campaign = await records.lock_campaign(unit, campaign_id)
    if campaign.state is not CampaignState.RUNNING:
        return 0
    due = records.recipients(await unit.fetch(records.DUE, campaign_id=campaign.id, now=unit.now, row_limit=BATCH))
    if not due:
        [left] = await unit.fetch(records.LEFT, campaign_id=campaign.id)
        if not left.is_left:
            records.write(unit, [rules.complete(campaign, unit.now)])
        return 0
    turn = await _look(unit, campaign, due, links)
    for recipient in due:
        await _take(turn, recipient)
    records.write(unit, turn.decided)
    return len(due)


async def _look(unit: UnitOfWork, campaign: Campaign, due: list[Recipient], links: Links) -> _Turn:
    """Everything that the turns depend on, as it is now, and stays: nobody is erased meanwhile."""
    await hold_erasures(unit)
    known = await audience.people(unit, campaign, [one.contact_id for one in due])
    begun, custom, threads, queued = await unit.fetch_all(
        records.BEGUN.bind(campaign_id=campaign.id),
        defining("contact"),
        records.CONVERSATIONS.bind(ids=[one.id for one in due]),
        records.QUEUED.bind(account_ids=campaign.account_ids),
    )
    waiting = {row.account_id: row.queued for row in queued}
    found: dict[Channel, list[Account]] = {}
    rooms: dict[UUID, int] = {}
    for account_id in campaign.account_ids:
        account, condition = await accounts.lock_account(unit, account_id, *accounts.condition(account_id))
        found.setdefault(account.channel, []).append(account)
        rest = account_rules.budget(account, accounts.read_condition(condition), unit.now)
        rooms[account_id] = rest - waiting.get(account_id, 0)
    return _Turn(
        unit=unit,
        campaign=campaign,
        links=links,
        zone=str(await tasks.organization_zone(unit)),
        room=rules.allowance(campaign, unit.now) - begun[0].begun,
        accounts=found,
        rooms=rooms,
        known=known,
        custom=texts.custom_names(definitions(custom)),
        threads={(row.recipient_id, row.channel): row for row in threads},
        steps=campaign.sequence,
    )


async def _take(turn: _Turn, recipient: Recipient) -> None:
    """One recipient's turn: held up, left out, held out, or queued."""
    now, step = turn.unit.now, turn.steps[recipient.step - 1]
    person = turn.known.get(recipient.contact_id)
    if person is None:
        turn.decided.append(journeys.end(recipient, Ending.STOPPED, now))
        return
    if (ended := _ended(turn, recipient, person, step)) is not None:
        turn.decided += ended
        return
    if not conditions.holds(step.when, conditions.roots_of(person, recipient, now), now):
        turn.decided += journeys.skip(turn.campaign, recipient, now)
        return
    if step.channel is None:
        await _task(turn, recipient, person, step)
        return
    await _message(turn, recipient, person, step, step.channel)


def _ended(turn: _Turn, recipient: Recipient, person: Row, step: Step) -> Changes | None:
    """What ends them before the step: an address that is gone, or that nothing may be sent to."""
    now = turn.unit.now
    if step.channel is None:
        return None
    if step.channel not in audience.addresses_of(person):
        return [journeys.end(recipient, Ending.FAILED, now, reason=Exclusion.NO_ADDRESS.value)]
    is_suppressed = {Channel.EMAIL: person.is_email_suppressed, Channel.TELEGRAM: person.is_telegram_suppressed}
    if is_suppressed[step.channel]:
        return journeys.unsubscribed(recipient, now, how="suppressed")
    if turn.campaign.legal_basis == "consent" and not person.has_consent:
        return [journeys.end(recipient, Ending.STOPPED, now, reason=Exclusion.NO_CONSENT.value)]
    return None


async def _task(turn: _Turn, recipient: Recipient, person: Row, step: Step) -> None:
    now = turn.unit.now
    variant = journeys.draw(step, recipient.id, recipient.step)
    if variant == journeys.HELD_OUT:
        turn.decided += journeys.assign(turn.campaign, recipient, now, variant=variant)[0]
        return
    values = texts.values_of(person, sender=None, custom=turn.custom)
    written = texts.write(step.variants[journeys.index_of(variant)], values)
    given: dict[str, Any] = {
        "title": (written.subject or "")[:200],
        "body": written.text,
        "due_at": now + timedelta(days=1),
        "assignee_id": turn.campaign.owner_id,
        "contact_id": recipient.contact_id,
    }
    made = task_rules.create(given, now=now, zone=ZoneInfo(turn.zone), created_by=None)
    tasks.write(turn.unit, [made])
    changes, after, touch = journeys.assign(turn.campaign, recipient, now, variant=variant, task_id=made.after.id)
    turn.decided += [*changes, *journeys.sent(turn.campaign, after, touch, now, at=now)]


async def _message(turn: _Turn, recipient: Recipient, person: Row, step: Step, channel: Channel) -> None:
    now = turn.unit.now
    window = zones.window_of(
        Hours.model_validate(turn.campaign.hours), zones.zones_of(person.phone, turn.zone), turn.zone
    )
    turn_at = window.turn_of(recipient.id, now)
    if turn_at is None or turn_at > now:
        _put_off(turn, recipient, turn_at or now + timedelta(days=1))
        return
    variant = journeys.draw(step, recipient.id, recipient.step)
    if variant == journeys.HELD_OUT:
        turn.decided += journeys.assign(turn.campaign, recipient, now, variant=variant)[0]
        return
    account = _account(turn, recipient, channel)
    if account is None or turn.room <= 0:
        _put_off(turn, recipient, now + _NO_ROOM)
        return
    await _queue(turn, recipient, person, step, variant, account, window)


def _put_off(turn: _Turn, recipient: Recipient, until: datetime) -> None:
    turn.decided.append(Change(recipient, replace(recipient, due_at=until)))


def _account(turn: _Turn, recipient: Recipient, channel: Channel) -> Account | None:
    """The account that writes to them: the one they know, else one of the campaign's; None while it has no room."""
    thread = turn.threads.get((recipient.id, channel.value))
    those = [one for one in turn.accounts.get(channel, ()) if thread is None or one.id == thread.account_id]
    with_room = [one for one in those if turn.rooms[one.id] > 0]
    return max(with_room, key=lambda one: (turn.rooms[one.id], one.id), default=None)


async def _queue(
    turn: _Turn, recipient: Recipient, person: Row, step: Step, variant: str, account: Account, window: Window
) -> None:
    now, wording = turn.unit.now, step.variants[journeys.index_of(variant)]
    changes, _, touch = journeys.assign(turn.campaign, recipient, now, variant=variant, account_id=account.id)
    values = texts.values_of(person, sender=account.name, custom=turn.custom)
    written = texts.write(wording, values)
    if written.missing:
        # it was there when the campaign started; a text with a hole is worse than none
        turn.decided.append(journeys.end(recipient, Ending.FAILED, now, reason="missing_field"))
        return
    link = turn.links.to(turn.unit.context.organization_id, touch.id)
    written, headers = texts.with_way_out(step, written, link)
    thread = turn.threads.get((recipient.id, account.channel.value))
    outgoing = Outgoing(
        text=written.text,
        html=written.html,
        subject=written.subject,
        conversation_id=thread.conversation_id if thread else None,
        account_id=account.id,
        address=audience.addresses_of(person)[account.channel],
        contact_id=recipient.contact_id,
        deal_id=recipient.deal_id,
        source=SendSource.CAMPAIGN,
        source_id=touch.id,
        hours=window,
        headers=headers,
    )
    try:
        async with turn.unit.part():  # what a refusal comes from leaves the others of the batch alone
            queued = await queue_message(turn.unit, outgoing)
    except CrmError as error:
        _log.warning("campaign %s cannot write to recipient %s: %s", turn.campaign.id, recipient.id, error.code)
        turn.decided.append(journeys.end(recipient, Ending.FAILED, now, reason=error.code[:60]))
        return
    named = replace(touch, message_id=queued.message.id, conversation_id=queued.conversation.id)
    turn.decided += [Change(one.before, named) if isinstance(one.after, Touch) else one for one in changes]
    turn.room -= 1
    turn.rooms[account.id] -= 1
