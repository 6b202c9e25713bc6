"""Rules of a recipient's way through the steps of a campaign. No I/O.

What is drawn for a recipient is drawn from their id and the step's place: again is the same.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.campaigns.document import Step
from api.campaigns.state import Campaign, Changes, Recipient, RecipientState, Touch, TouchState
from api.kernel.changes import Change, revised
from contracts.events.campaigns import (
    Ending,
    RecipientEnrolled,
    RecipientFinished,
    RecipientPostponed,
    RecipientReplied,
    RecipientUnsubscribed,
    StepAssigned,
    StepFailed,
    StepSent,
)

HELD_OUT = "held_out"
_LETTERS = "ABCDE"


def enrol(
    campaign: Campaign, contact_id: UUID, now: datetime, *, company_id: UUID | None, deal_id: UUID | None
) -> Change[Recipient]:
    """Somebody is to go through the steps."""
    made = replace(
        _new(campaign, contact_id, now, company_id=company_id),
        version=1,
        deal_id=deal_id,
        due_at=now + timedelta(days=campaign.sequence[0].wait_days),
    )
    event = RecipientEnrolled(
        campaign_id=campaign.id,
        contact_id=contact_id,
        company_id=company_id,
        deal_id=deal_id,
        owner_id=campaign.owner_id,
    )
    return Change(None, made, event)


def exclude(
    campaign: Campaign, contact_id: UUID, now: datetime, *, company_id: UUID | None, reason: str
) -> Change[Recipient]:
    """Somebody of the audience is not written to: kept with the reason, and no event of theirs."""
    made = _new(campaign, contact_id, now, company_id=company_id)
    return Change(None, replace(made, state=RecipientState.EXCLUDED, reason=reason))


def _new(campaign: Campaign, contact_id: UUID, now: datetime, *, company_id: UUID | None) -> Recipient:
    return Recipient(
        id=uuid7(),
        version=0,
        created_at=now,
        updated_at=now,
        campaign_id=campaign.id,
        contact_id=contact_id,
        company_id=company_id,
        state=RecipientState.WAITING,
    )


def draw(step: Step, recipient_id: UUID, place: int) -> str:
    """Which variant a recipient gets, or that they are held out."""
    digest = hashlib.sha256(recipient_id.bytes + place.to_bytes(2, "big")).digest()
    held_out, chosen = (int.from_bytes(part, "big") / 2**32 for part in (digest[:4], digest[4:8]))
    if held_out * 100 < step.hold_out_percent:
        return HELD_OUT
    rest = chosen * sum(variant.weight for variant in step.variants)
    for letter, variant in zip(_LETTERS, step.variants, strict=False):
        rest -= variant.weight
        if rest < 0:
            return letter
    return _LETTERS[len(step.variants) - 1]


def index_of(variant: str) -> int:
    """The place of a variant among those of its step, from 0."""
    return _LETTERS.index(variant)


def assign(
    campaign: Campaign,
    recipient: Recipient,
    now: datetime,
    *,
    variant: str,
    **known: Any,  # noqa: ANN401 # columns
) -> tuple[Changes, Recipient, Touch]:
    """A recipient's turn has come: their touch, queued, or held out; of the latter the next step follows."""
    step = campaign.sequence[recipient.step - 1]
    is_held_out = variant == HELD_OUT
    touch = Touch(
        id=uuid7(),
        created_at=now,
        campaign_id=campaign.id,
        recipient_id=recipient.id,
        step=recipient.step,
        variant=variant,
        state=TouchState.HELD_OUT if is_held_out else TouchState.QUEUED,
        channel=step.channel.value if step.channel else None,
        **known,
    )
    after = revised(recipient, now, state=RecipientState.UNDER_WAY, due_at=None, touch_id=touch.id)
    event = StepAssigned(
        campaign_id=campaign.id,
        touch_id=touch.id,
        step=touch.step,
        contact_id=recipient.contact_id,
        deal_id=recipient.deal_id,
        owner_id=campaign.owner_id,
        channel=step.channel,
        variant=variant,
        is_held_out=is_held_out,
    )
    changes_: Changes = [Change(recipient, after, event), Change(None, touch)]
    if is_held_out:
        following = go_on(campaign, after, now)
        after = following.after
        changes_.append(following)
    return changes_, after, touch


def skip(campaign: Campaign, recipient: Recipient, now: datetime) -> Changes:
    """The step's condition leaves them out: the next one, or the end, as the step says."""
    touch = Touch(
        id=uuid7(),
        created_at=now,
        campaign_id=campaign.id,
        recipient_id=recipient.id,
        step=recipient.step,
        variant="-",
        state=TouchState.SKIPPED,
    )
    stops = campaign.sequence[recipient.step - 1].otherwise == "stop"
    further = end(recipient, Ending.STOPPED, now) if stops else go_on(campaign, recipient, now)
    return [Change(None, touch), further]


def go_on(campaign: Campaign, recipient: Recipient, now: datetime) -> Change[Recipient]:
    """The step is over: they wait for the next, or have been through all."""
    if recipient.step >= len(campaign.steps):
        return end(recipient, Ending.COMPLETED, now)
    due_at = now + timedelta(days=campaign.sequence[recipient.step].wait_days)
    after = replace(recipient, state=RecipientState.WAITING, step=recipient.step + 1, due_at=due_at, updated_at=now)
    return Change(recipient, after)


def end(recipient: Recipient, ending: Ending, now: datetime, **more: Any) -> Change[Recipient]:  # noqa: ANN401 # columns
    """They get nothing more."""
    after = revised(recipient, now, state=RecipientState.ENDED, ending=ending.value, due_at=None, ended_at=now, **more)
    return Change(recipient, after, RecipientFinished(campaign_id=recipient.campaign_id, ending=ending))


def sent(campaign: Campaign, recipient: Recipient, touch: Touch, now: datetime, *, at: datetime) -> Changes:
    """A step reached them; the next one follows, where this was the newest."""
    if touch.state is TouchState.SENT:
        return []
    event = StepSent(
        campaign_id=campaign.id,
        touch_id=touch.id,
        step=touch.step,
        message_id=touch.message_id,
        task_id=touch.task_id,
    )
    after = revised(recipient, now)
    changes_: Changes = [
        Change(touch, replace(touch, state=TouchState.SENT, sent_at=at, failure=None)),
        Change(recipient, after, event, at),
    ]
    if after.state is RecipientState.UNDER_WAY and after.touch_id == touch.id:
        changes_.append(go_on(campaign, after, now))
    return changes_


#: What a send that was taken back before it went says.
WITHDRAWN = "withdrawn"
_ENDINGS = {"bounced": Ending.BOUNCED, "suppressed": Ending.UNSUBSCRIBED, WITHDRAWN: None}


def failed(recipient: Recipient, touch: Touch, now: datetime, *, reason: str, is_unknown: bool) -> Changes:
    """A step did not reach them. What is unknown a person decides about; anything else is their end of it."""
    state = TouchState.UNKNOWN if is_unknown else TouchState.FAILED
    if touch.state is state:
        return []
    event = StepFailed(
        campaign_id=touch.campaign_id, touch_id=touch.id, step=touch.step, reason=reason[:60], is_unknown=is_unknown
    )
    after = revised(recipient, now)
    changes_: Changes = [
        Change(touch, replace(touch, state=state, failure=reason[:60])),
        Change(recipient, after, event),
    ]
    if is_unknown or not after.is_active:
        return changes_
    ending = _ENDINGS.get(reason, Ending.FAILED)
    if ending is Ending.UNSUBSCRIBED:
        told = revised(after, now)
        refused = RecipientUnsubscribed(campaign_id=touch.campaign_id, touch_id=touch.id, how="suppressed")
        changes_.append(Change(after, told, refused))
        after = told
    if ending is not None:
        changes_.append(end(after, ending, now))
    return changes_


def replied(recipient: Recipient, message_id: UUID, now: datetime, *, at: datetime) -> Changes:
    """They wrote: it is over, and counted once."""
    if recipient.replied_at is not None:
        return []
    after = revised(recipient, now, replied_at=at)
    event = RecipientReplied(campaign_id=recipient.campaign_id, touch_id=recipient.touch_id, message_id=message_id)
    changes_: Changes = [Change(recipient, after, event, at)]
    return [*changes_, end(after, Ending.REPLIED, now)] if after.is_active else changes_


def unsubscribed(recipient: Recipient, now: datetime, *, how: str) -> Changes:
    """They want no more; nothing where nothing more was to come."""
    if not recipient.is_active:
        return []
    after = revised(recipient, now)
    event = RecipientUnsubscribed(campaign_id=recipient.campaign_id, touch_id=recipient.touch_id, how=how)
    return [Change(recipient, after, event), end(after, Ending.UNSUBSCRIBED, now)]


def away(campaign: Campaign, recipient: Recipient, now: datetime) -> Changes:
    """A machine says that they are away: what waits, waits longer."""
    until = now + timedelta(days=campaign.away_days)
    if recipient.state is not RecipientState.WAITING or (recipient.due_at and recipient.due_at >= until):
        return []
    after = revised(recipient, now, due_at=until)
    return [
        Change(recipient, after, RecipientPostponed(campaign_id=campaign.id, until_days=campaign.away_days)),
    ]
