"""`/v1/campaigns`: build, look at the audience and at what somebody would get, start, pause, resume, cancel, stop."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from fastapi import Response

from api.campaigns import audience, consents, records, rules, service, suppressions, unsubscribing
from api.campaigns.audience import AudienceTooLarge, WrongView, view_of
from api.campaigns.rules import CampaignNotAllowed, LegalBasisMissing, NothingToDo
from api.campaigns.schemas import (
    AccountRoomRead,
    AudienceRead,
    CampaignCreate,
    CampaignRead,
    CampaignUpdate,
    PersonRead,
    PreviewRead,
    ProgressRead,
    RecipientRead,
    StandingRead,
    StoppedRead,
    StopWrite,
    TouchesRead,
    WordingRead,
)
from api.campaigns.service import FieldMissing, NobodyToWriteTo
from api.campaigns.state import Campaign, CampaignState, RecipientState
from api.campaigns.templates import BadTemplate
from api.edge.dependencies import CurrentCaller, IfMatch, OptionalIfMatch, RecordWriter, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.caller import Caller
from api.kernel.changes import Change, expect
from api.kernel.conditions import BadCondition
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.filters import BadFilter, check
from api.kernel.states import as_state
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen

router = slice_router(prefix="/campaigns", tags=["campaigns"])
routers = [router, consents.router, suppressions.router, unsubscribing.router]

_SHOWN = 200
_BUILDING = (BadTemplate, BadCondition, BadFilter, UnknownReference, WrongView)


@router.get("")
async def list_campaigns(
    caller: CurrentCaller, unit: Unit, page: Page, state: CampaignState | None = None
) -> PageOf[CampaignRead]:
    """List the campaigns you see, newest first."""
    given = {"state": state, "owners": _listed(await owners_seen(unit, caller))}
    rows, cursor = await read_page(unit, records.CAMPAIGNS, given, page=page)
    return PageOf(items=[_read(as_state(Campaign, row)) for row in rows], next_cursor=cursor)


@router.post("", status_code=201, responses=problems(*_BUILDING))
async def create_campaign(body: CampaignCreate, caller: RecordWriter, unit: Unit, response: Response) -> CampaignRead:
    """Begin to build a campaign. Nothing is sent before it starts."""
    await unit.begin()
    check(body.filter)
    await service.check_steps(unit, body.steps)
    await view_of(unit, body.view_id, viewer_id=caller.user_id)
    change = rules.create(body.model_dump(), now=unit.now, owner_id=caller.user_id)
    records.write(unit, [change])
    response.headers["Location"] = f"/v1/campaigns/{change.after.id}"
    return _read(change.after)


@router.get("/{campaign_id}", responses=problems(NotFound))
async def read_campaign(campaign_id: UUID, caller: CurrentCaller, unit: Unit) -> CampaignRead:
    """Read a campaign."""
    return _read(await records.find_campaign(unit, campaign_id, owners=await owners_seen(unit, caller)))


@router.patch(
    "/{campaign_id}",
    responses=problems(NotFound, CampaignNotAllowed, PreconditionFailed, PreconditionRequired, *_BUILDING),
)
async def update_campaign(
    campaign_id: UUID, body: CampaignUpdate, caller: RecordWriter, unit: Unit, if_match: IfMatch
) -> CampaignRead:
    """Change a campaign that has not started."""
    campaign = await _locked(unit, campaign_id, caller, if_match)
    given = body.model_dump(exclude_unset=True)
    check(given.get("filter", []))
    await service.check_steps(unit, body.steps)
    if body.view_id != campaign.view_id:
        await view_of(unit, body.view_id, viewer_id=caller.user_id)
    return _answer(unit, campaign, rules.update(campaign, given, unit.now))


@router.get(
    "/{campaign_id}/audience", responses=problems(NotFound, BadFilter, UnknownReference, WrongView, AudienceTooLarge)
)
async def read_campaign_audience(campaign_id: UUID, caller: CurrentCaller, unit: Unit) -> AudienceRead:
    """Look at whom it would write to if it started now, and whom not, and why."""
    owners = await owners_seen(unit, caller)
    campaign = await records.find_campaign(unit, campaign_id, owners=owners)
    found = await audience.read_audience(unit, campaign, owners=owners, viewer_id=caller.user_id)
    excluded = [one for one in found.people if one.reason is not None]
    shown = [*excluded[:_SHOWN], *found.included[:_SHOWN]]
    return AudienceRead(
        included=len(found.included),
        excluded=len(excluded),
        reasons=found.reasons,
        people=[PersonRead.model_validate(one) for one in shown],
    )


@router.get("/{campaign_id}/preview", responses=problems(NotFound, UnknownReference, NothingToDo))
async def preview_campaign(campaign_id: UUID, contact_id: UUID, caller: CurrentCaller, unit: Unit) -> PreviewRead:
    """Read every step as one contact would get it, and which of their fields lack."""
    owners = await owners_seen(unit, caller)
    campaign = await records.find_campaign(unit, campaign_id, owners=owners)
    found = await service.preview(unit, campaign, contact_id, owners=owners)
    return PreviewRead(
        contact_id=contact_id,
        wordings=[
            WordingRead(
                step=place,
                kind=step.kind,
                variant=variant,
                sender=sender,
                address=address,
                subject=words.subject,
                text=words.text,
                html=words.html,
                missing=words.missing,
            )
            for place, step, variant, sender, address, words in found
        ],
    )


@router.post(
    "/{campaign_id}/start",
    status_code=200,
    responses=problems(
        NotFound, CampaignNotAllowed, LegalBasisMissing, NothingToDo, FieldMissing, NobodyToWriteTo, AudienceTooLarge,
        PreconditionFailed, *_BUILDING,
    ),
)  # fmt: skip
async def start_campaign(
    campaign_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch
) -> CampaignRead:
    """Enrol the audience as it is now, and begin to write to it."""
    campaign = await _locked(unit, campaign_id, caller, if_match)
    owners = await owners_seen(unit, caller)
    return _read(await service.start(unit, campaign, owners=owners, viewer_id=caller.user_id))


@router.post("/{campaign_id}/pause", status_code=200, responses=problems(NotFound, CampaignNotAllowed))
async def pause_campaign(campaign_id: UUID, caller: RecordWriter, unit: Unit) -> CampaignRead:
    """Write to nobody until it is resumed. What is queued already is held."""
    return await _move(unit, campaign_id, caller, rules.pause)


@router.post("/{campaign_id}/resume", status_code=200, responses=problems(NotFound, CampaignNotAllowed))
async def resume_campaign(campaign_id: UUID, caller: RecordWriter, unit: Unit) -> CampaignRead:
    """Go on: nobody gets anything twice."""
    return await _move(unit, campaign_id, caller, rules.resume)


@router.post("/{campaign_id}/cancel", status_code=200, responses=problems(NotFound, CampaignNotAllowed))
async def cancel_campaign(campaign_id: UUID, caller: RecordWriter, unit: Unit) -> CampaignRead:
    """End it for everybody. What is queued is taken back."""
    return await _move(unit, campaign_id, caller, rules.cancel)


@router.post("/{campaign_id}/stop", status_code=200, responses=problems(NotFound))
async def stop_campaign_for(campaign_id: UUID, body: StopWrite, caller: RecordWriter, unit: Unit) -> StoppedRead:
    """End it for a person, or for everybody of a company."""
    await _locked(unit, campaign_id, caller, None)
    if body.contact_id is not None:
        found = await records.lock_of_contact(unit, campaign_id, body.contact_id)
    else:
        found = await records.lock_of_company(unit, campaign_id, body.company_id or campaign_id)
    return StoppedRead(stopped=await service.stop(unit, found))


@router.get("/{campaign_id}/recipients", responses=problems(NotFound))
async def list_campaign_recipients(
    campaign_id: UUID,
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    state: RecipientState | None = None,
    ending: str | None = None,
    contact_id: UUID | None = None,
    company_id: UUID | None = None,
) -> PageOf[RecipientRead]:
    """List whom it writes to, and who was excluded."""
    owners = await owners_seen(unit, caller)
    await records.find_campaign(unit, campaign_id, owners=owners)
    given = {
        "campaign_id": campaign_id,
        "state": state,
        "ending": ending,
        "contact_id": contact_id,
        "company_id": company_id,
    }
    rows, cursor = await read_page(unit, records.RECIPIENTS, given, page=page)
    found = records.recipients(rows)
    names = await records.names(unit, {one.contact_id for one in found}, owners)
    items = [RecipientRead.model_validate(one) for one in found]
    named = [one.model_copy(update={"name": names.get(one.contact_id)}) for one in items]
    return PageOf(items=named, next_cursor=cursor)


@router.get("/{campaign_id}/progress", responses=problems(NotFound))
async def read_campaign_progress(campaign_id: UUID, caller: CurrentCaller, unit: Unit) -> ProgressRead:
    """Read how far it is, as it is now, and what holds it up; `unknown` needs somebody's decision."""
    campaign = await records.find_campaign(unit, campaign_id, owners=await owners_seen(unit, caller))
    standing, touches, begun = await unit.fetch_all(
        records.STANDING.bind(campaign_id=campaign_id),
        records.PROGRESS.bind(campaign_id=campaign_id),
        records.BEGUN.bind(campaign_id=campaign_id),
    )
    now = datetime.now(UTC)
    return ProgressRead(
        begun=begun[0].begun,
        allowance=rules.allowance(campaign, now),
        accounts=[
            AccountRoomRead(
                account_id=account.id, name=account.name, state=account.state, until=account.until, room=room
            )
            for account, room in await service.rooms(unit, campaign, now)
        ],
        recipients=[StandingRead.model_validate(row._asdict()) for row in standing],
        touches=[TouchesRead.model_validate(row._asdict()) for row in touches],
    )


async def _move(
    unit: UnitOfWork, campaign_id: UUID, caller: Caller, rule: Callable[[Campaign, datetime], Change[Campaign]]
) -> CampaignRead:
    campaign = await _locked(unit, campaign_id, caller, None)
    change = rule(campaign, unit.now)
    await service.hold_or_release(unit, change.after)
    return _answer(unit, campaign, change)


async def _locked(unit: UnitOfWork, campaign_id: UUID, caller: Caller, version: int | None) -> Campaign:
    owners = await owners_seen(unit, caller)
    return expect(await records.lock_campaign(unit, campaign_id, owners=owners), "campaign", version=version)


def _answer(unit: UnitOfWork, campaign: Campaign, change: Change[Campaign] | None) -> CampaignRead:
    if change is not None:
        records.write(unit, [change])
    return _read(change.after if change else campaign)


def _read(campaign: Campaign) -> CampaignRead:
    return CampaignRead.model_validate(campaign)


def _listed(owners: frozenset[UUID] | None) -> list[UUID] | None:
    return None if owners is None else sorted(owners)
