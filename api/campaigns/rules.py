"""Rules of campaigns and of each of their recipients. No I/O.

    draft ──▶ running ◀──▶ paused        running, paused ──▶ completed, cancelled

    waiting ──▶ under_way ──▶ waiting … ──▶ ended          (excluded: never written to)

What is drawn for a recipient is drawn from their id and the step's place: again is the same.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.campaigns.document import Hours, Pace, Step
from api.db.values import JsonList
from api.kernel import changes
from api.kernel.changes import Change, Versioned, revised
from api.kernel.errors import Conflict, Unprocessable
from contracts.channels import Channel
from contracts.events.campaigns import (
    CampaignCancelled,
    CampaignCompleted,
    CampaignCreated,
    CampaignEvent,
    CampaignPaused,
    CampaignResumed,
    CampaignStarted,
    CampaignUpdated,
    Ending,
    LegalBasis,
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


class CampaignState(StrEnum):
    """How a campaign stands."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class RecipientState(StrEnum):
    """How a recipient stands."""

    WAITING = "waiting"
    UNDER_WAY = "under_way"
    ENDED = "ended"
    EXCLUDED = "excluded"


class TouchState(StrEnum):
    """What became of one step for one recipient."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    HELD_OUT = "held_out"
    SKIPPED = "skipped"


class CampaignNotAllowed(Conflict):
    """The campaign cannot do that as it stands."""

    code = "campaign_not_allowed"

    def __init__(self, state: CampaignState) -> None:
        super().__init__(f"This campaign is {state}, and cannot do that.")


class LegalBasisMissing(Unprocessable):
    """Nobody is written to without a ground."""

    code, pointer = "legal_basis_missing", "/legal_basis"
    detail = "Say on what ground people are written to (legal_basis), and why (basis_note), before it starts."


class NothingToDo(Unprocessable):
    """A campaign needs steps, and accounts to send from."""

    code, pointer = "campaign_incomplete", "/steps"


@dataclass(frozen=True, kw_only=True)
class Campaign(Versioned):
    """One campaign."""

    name: str
    state: CampaignState
    owner_id: UUID
    legal_basis: str | None = None
    basis_note: str | None = None
    view_id: UUID | None = None
    filter: list[Any]
    account_ids: list[UUID]
    steps: list[Any]
    hours: dict[str, Any]
    pace: dict[str, Any]
    stops_company: bool = True
    away_days: int = 7
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def sequence(self) -> list[Step]:
        """Its steps, read."""
        return [Step.model_validate(one) for one in self.steps]

    @property
    def channels(self) -> frozenset[Channel]:
        """Through what it writes."""
        return frozenset(step.channel for step in self.sequence if step.channel is not None)


@dataclass(frozen=True, kw_only=True)
class Recipient(Versioned):
    """One person of a campaign's audience; `step` is the place of the next step, `touch_id` the newest touch."""

    campaign_id: UUID
    contact_id: UUID
    company_id: UUID | None = None
    deal_id: UUID | None = None
    state: RecipientState
    ending: str | None = None
    reason: str | None = None
    step: int = 1
    due_at: datetime | None = None
    touch_id: UUID | None = None
    replied_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether anything may still go to them."""
        return self.state in (RecipientState.WAITING, RecipientState.UNDER_WAY)


@dataclass(frozen=True, kw_only=True)
class Touch:
    """One step for one recipient."""

    id: UUID
    created_at: datetime
    campaign_id: UUID
    recipient_id: UUID
    step: int
    variant: str
    state: TouchState
    channel: str | None = None
    account_id: UUID | None = None
    conversation_id: UUID | None = None
    message_id: UUID | None = None
    task_id: UUID | None = None
    failure: str | None = None
    sent_at: datetime | None = None


Changes = list[changes.Change[Recipient] | changes.Change[Touch] | changes.Change[Campaign]]


# campaigns


def create(given: Mapping[str, Any], *, now: datetime, owner_id: UUID) -> Change[Campaign]:
    """A campaign that somebody builds."""
    values = _stored({"steps": [], "filter": [], "account_ids": [], "hours": Hours(), "pace": Pace(), **given})
    made = Campaign(
        id=uuid7(), version=1, created_at=now, updated_at=now, state=CampaignState.DRAFT, owner_id=owner_id, **values
    )
    return Change(None, made, CampaignCreated(owner_id=owner_id))


def update(campaign: Campaign, given: Mapping[str, Any], now: datetime) -> Change[Campaign] | None:
    """The same otherwise; None where nothing differs.

    Raises:
        CampaignNotAllowed: it has started.
    """
    if campaign.state is not CampaignState.DRAFT:
        raise CampaignNotAllowed(campaign.state)
    wanted = {name: value for name, value in _stored(given).items() if getattr(campaign, name) != value}
    if not wanted:
        return None
    return Change(campaign, revised(campaign, now, **wanted), CampaignUpdated(changed_fields=sorted(wanted)))


def _stored(given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given)
    if "steps" in values:
        values["steps"] = JsonList(Step.model_validate(one).model_dump(mode="json") for one in values["steps"])
    if "filter" in values:
        values["filter"] = JsonList(list(one) for one in values["filter"])
    for name, kind in (("hours", Hours), ("pace", Pace)):
        if name in values:
            values[name] = kind.model_validate(values[name]).model_dump(mode="json")
    return values


def require_startable(campaign: Campaign) -> None:
    """Refuse what lacks something.

    Raises:
        CampaignNotAllowed, LegalBasisMissing, NothingToDo: as they say.
    """
    if campaign.state is not CampaignState.DRAFT:
        raise CampaignNotAllowed(campaign.state)
    if campaign.legal_basis is None or not (campaign.basis_note or "").strip():
        raise LegalBasisMissing
    if not campaign.steps:
        raise NothingToDo("Add at least one step.")
    if campaign.channels and not campaign.account_ids:
        raise NothingToDo("Choose the accounts to send from.", pointer="/account_ids")


def start(campaign: Campaign, now: datetime, *, recipients: int, excluded: int) -> Change[Campaign]:
    """It begins to write to people.

    Raises:
        CampaignNotAllowed, LegalBasisMissing, NothingToDo: as `require_startable`.
    """
    require_startable(campaign)
    event = CampaignStarted(
        owner_id=campaign.owner_id,
        legal_basis=LegalBasis(str(campaign.legal_basis)),
        steps=len(campaign.steps),
        recipients=recipients,
        excluded=excluded,
    )
    return Change(campaign, revised(campaign, now, state=CampaignState.RUNNING, started_at=now), event)


def pause(campaign: Campaign, now: datetime) -> Change[Campaign]:
    """It writes to nobody until it goes on.

    Raises:
        CampaignNotAllowed: it does not run.
    """
    return _moved(campaign, now, CampaignState.PAUSED, CampaignPaused())


def resume(campaign: Campaign, now: datetime) -> Change[Campaign]:
    """It goes on.

    Raises:
        CampaignNotAllowed: it is not paused.
    """
    return _moved(campaign, now, CampaignState.RUNNING, CampaignResumed())


def cancel(campaign: Campaign, now: datetime) -> Change[Campaign]:
    """It ends, whoever is left.

    Raises:
        CampaignNotAllowed: it has ended.
    """
    return _moved(campaign, now, CampaignState.CANCELLED, CampaignCancelled())


def complete(campaign: Campaign, now: datetime) -> Change[Campaign]:
    """Nobody is left."""
    return _moved(campaign, now, CampaignState.COMPLETED, CampaignCompleted())


_FROM = {
    CampaignState.PAUSED: {CampaignState.RUNNING},
    CampaignState.RUNNING: {CampaignState.PAUSED},
    CampaignState.CANCELLED: {CampaignState.DRAFT, CampaignState.RUNNING, CampaignState.PAUSED},
    CampaignState.COMPLETED: {CampaignState.RUNNING},
}


def _moved(campaign: Campaign, now: datetime, state: CampaignState, event: CampaignEvent) -> Change[Campaign]:
    if campaign.state not in _FROM[state]:
        raise CampaignNotAllowed(campaign.state)
    is_over = state in (CampaignState.CANCELLED, CampaignState.COMPLETED)
    return Change(campaign, revised(campaign, now, state=state, ended_at=now if is_over else None), event)


def allowance(campaign: Campaign, now: datetime) -> int:
    """How many messages a campaign may begin within a day: more on each day that it runs."""
    pace = Pace.model_validate(campaign.pace)
    days = (now - (campaign.started_at or now)) // timedelta(days=1)
    # a hundred days of growth are beyond any limit
    return min(pace.most, int(pace.first_day * (1 + pace.growth_percent / 100) ** min(days, 100)))


# recipients


def enrol(
    campaign: Campaign, contact_id: UUID, now: datetime, *, company_id: UUID | None, deal_id: UUID | None
) -> Change[Recipient]:
    """Somebody is to go through the steps."""
    made = Recipient(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        campaign_id=campaign.id,
        contact_id=contact_id,
        company_id=company_id,
        deal_id=deal_id,
        state=RecipientState.WAITING,
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
    made = Recipient(
        id=uuid7(),
        version=0,
        created_at=now,
        updated_at=now,
        campaign_id=campaign.id,
        contact_id=contact_id,
        company_id=company_id,
        state=RecipientState.EXCLUDED,
        reason=reason,
    )
    return Change(None, made)


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
