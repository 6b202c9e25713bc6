"""Rules of campaigns: how one is built, starts, pauses and ends. No I/O. Those of its recipients are `journeys`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.campaigns.document import Hours, Pace, Step
from api.campaigns.state import Campaign, CampaignState
from api.db.values import JsonList
from api.kernel.changes import Change, revised
from api.kernel.errors import Conflict, Unprocessable
from contracts.events.campaigns import (
    CampaignCancelled,
    CampaignCompleted,
    CampaignCreated,
    CampaignEvent,
    CampaignPaused,
    CampaignResumed,
    CampaignStarted,
    CampaignUpdated,
    LegalBasis,
)


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
