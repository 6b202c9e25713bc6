"""What rules can do with campaigns: have somebody go through the steps of one that runs."""

from typing import Any
from uuid import UUID

from api.campaigns import audience, journeys, records
from api.campaigns.state import CampaignState
from api.kernel.actions import Acting, ActionKind, ActionParameters, Decision
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound


class AddTo(ActionParameters):
    """The record's contact goes through the steps of a campaign, unless the campaign would leave them out."""

    campaign_id: UUID


async def _add(acting: Acting, to: AddTo) -> Decision:
    named: Any = acting.subject_id if acting.subject_type == "contact" else acting.facts.get("contact_id")
    if named is None:
        return Decision()
    try:
        campaign = await records.lock_campaign(acting.unit, to.campaign_id)
    except NotFound as error:
        raise UnknownReference("campaign_id", "campaign") from error
    contact_id = UUID(str(named))
    known = await audience.people(acting.unit, campaign, [contact_id])
    is_known_there = await records.lock_of_contact(acting.unit, campaign.id, contact_id)
    if campaign.state is not CampaignState.RUNNING or contact_id not in known or is_known_there:
        return Decision()
    person = known[contact_id]
    if audience.objection(campaign, person) is not None:
        return Decision()
    change = journeys.enrol(campaign, contact_id, acting.unit.now, company_id=person.company_id, deal_id=person.deal_id)
    acting.writes.append(lambda: records.write(acting.unit, [change]))
    return Decision({}, {"campaign_id": campaign.id, "recipient_id": change.after.id})


ACTIONS = (ActionKind("campaign.add", "Add to a campaign", AddTo, _add, subjects=("deal", "contact")),)
