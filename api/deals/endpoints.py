"""`/v1/deals`: the deals a caller sees, their changes and their history."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from uuid_utils.compat import uuid7

from api.deals import errors, line_endpoints, places, records, rules
from api.deals.records import DealFilter, DealTarget, Locked
from api.deals.schemas import (
    DISTRIBUTE,
    DealCreate,
    DealHistoryEntry,
    DealLose,
    DealMove,
    DealRead,
    DealReopen,
    DealUpdate,
    DealWin,
    deal_answer,
    history_answers,
)
from api.deals.state import Deal, Money, Relations, StageRef
from api.distribution import records as distribution
from api.distribution.records import Chosen
from api.distribution.rules import NoDistributionRule
from api.edge.dependencies import CurrentCaller, IfMatch, OptionalIfMatch, RecordWriter, SignedInWriter, Unit
from api.edge.fields import SearchText
from api.edge.pages import Page, PageOf, Wished
from api.edge.routing import problems, slice_router
from api.kernel import custom, tags
from api.kernel.auditing import note
from api.kernel.caller import Caller
from api.kernel.computed import completed, with_computed
from api.kernel.constraints import UnknownReference
from api.kernel.errors import Forbidden, NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.filters import BadFilter
from api.kernel.links import require_shown
from api.kernel.owners import check_owner
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.visibility import owners_seen
from api.picklists.rules import Picklist
from api.pipelines.rules import StageIsRetired
from contracts.access import Role
from contracts.stages import Outcome, StageKind

router = slice_router(prefix="/deals", tags=["deals"])
routers = [router, line_endpoints.router]

_MAY_OVERRIDE = frozenset({Role.OWNER, Role.ADMIN, Role.MANAGER})
_CLOCK_ERRORS = (errors.OccurredInFuture, errors.OccurredBeforeCreation)
_MOVE_ERRORS = (
    NotFound,
    PreconditionFailed,
    errors.DealIsClosed,
    errors.StageOfOtherPipeline,
    errors.BackdatedClosing,
    StageIsRetired,
    UnknownReference,
    Forbidden,
    errors.FieldsMissing,
    *_CLOCK_ERRORS,
)


async def _filter(
    pipeline_id: UUID | None = None,
    stage_id: UUID | None = None,
    status: StageKind | None = None,
    owner_id: UUID | None = None,
    company_id: UUID | None = None,
    contact_id: UUID | None = None,
    is_rotting: Annotated[bool | None, Query(description="Longer in its stage than the stage's target days.")] = None,
    q: Annotated[SearchText | None, Query(description="Part of the title, in any case.")] = None,
) -> DealFilter:
    return DealFilter(
        pipeline_id=pipeline_id,
        stage_id=stage_id,
        status=status,
        owner_id=owner_id,
        company_id=company_id,
        contact_id=contact_id,
        is_rotting=is_rotting,
        text=q,
    )


async def _target(deal_id: UUID, caller: CurrentCaller, unit: Unit) -> DealTarget:
    return DealTarget(deal_id=deal_id, owner_ids=await owners_seen(unit, caller))


async def _target_if_matching(deal_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch) -> DealTarget:
    return DealTarget(deal_id=deal_id, owner_ids=await owners_seen(unit, caller), expected_version=if_match)


async def _target_as_read(deal_id: UUID, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> DealTarget:
    return DealTarget(deal_id=deal_id, owner_ids=await owners_seen(unit, caller), expected_version=if_match)


#: The deal of the path, as far as the caller sees it.
Target = Annotated[DealTarget, Depends(_target)]
#: The same for a command: If-Match is honoured when sent.
CommandTarget = Annotated[DealTarget, Depends(_target_if_matching)]
#: The same for a change: If-Match is required.
ChangeTarget = Annotated[DealTarget, Depends(_target_as_read)]


@router.post(
    "",
    status_code=201,
    responses=problems(
        UnknownReference,
        errors.StageNotOpen,
        errors.OccurredInFuture,
        errors.PipelineIsRetired,
        StageIsRetired,
        errors.ExternalIdTaken,
        custom.BadCustomValue,
        custom.CustomValueTaken,
        NoDistributionRule,
    ),
)
async def create_deal(body: DealCreate, caller: SignedInWriter, unit: Unit, response: Response) -> DealRead:
    """Create a deal, in the pipeline's first open stage unless told otherwise.

    Whose it is: the user named, nobody (`null`), or whom a rule of distribution chooses (`distribute`). Where no
    owner is named an automatic rule chooses, and without one the deal is the caller's.
    `/v1/distributions?deal_id=` says why.
    """
    place, source, fields = await records.find_place(unit, body.pipeline_id, body.stage_id, source=body.source)
    chosen = await _chosen(unit, body, source, is_automatic=place.is_distributed)
    owner_id = chosen.user_id if chosen else _named_owner(body, caller.user_id)
    await check_owner(unit, owner_id)
    filled = custom.begin(fields, body.custom)
    await custom.check_people(unit, filled)
    new = rules.NewDeal(
        id=uuid7(),
        external_id=body.external_id,
        title=body.title,
        stage=places.as_stage(place),
        money=Money(body.amount_minor, body.currency or place.currency),
        relations=Relations(body.company_id, body.contact_id, source.id if source else None),
        owner_id=owner_id,
        close_date=body.close_date,
        custom=filled,
    )
    change = rules.create(new, is_active=place.is_active, occurred_at=body.occurred_at, now=unit.now)
    unit.explain({**records.REFERENCES, "uq_deals_external_id": lambda: errors.ExternalIdTaken(body.external_id)})
    require_shown(unit, "deals", contact_id=body.contact_id, company_id=body.company_id)
    records.write(unit, new=[change])
    if chosen is not None:
        distribution.note(unit, chosen, new.id)
    if body.tags:
        tags.put_on(unit, "deal", new.id, body.tags)
    custom.claim(unit, "deal", new.id, filled)
    response.headers["Location"] = f"/v1/deals/{new.id}"
    shown = {**records.shown(unit, change.deal, source), "tags": body.tags}
    return deal_answer(with_computed("deal", shown, fields))


@router.get("", responses=problems(BadFilter))
async def list_deals(
    caller: CurrentCaller, unit: Unit, page: Page, only: Annotated[DealFilter, Depends(_filter)], wish: Wished
) -> PageOf[DealRead]:
    """List the deals you see, newest first."""
    owner_ids = await owners_seen(unit, caller)
    found, cursor = await records.list_deals(unit, only, owner_ids=owner_ids, page=page, wish=wish)
    rows = await completed(unit, "deal", found)
    return PageOf[DealRead].model_validate({"items": rows, "next_cursor": cursor}, from_attributes=True)


@router.get("/{deal_id}", responses=problems(NotFound))
async def read_deal(target: Target, unit: Unit) -> DealRead:
    """Read a deal."""
    return deal_answer((await completed(unit, "deal", [await records.read_deal(unit, target)]))[0])


@router.patch(
    "/{deal_id}",
    responses=problems(
        NotFound,
        PreconditionFailed,
        PreconditionRequired,
        UnknownReference,
        errors.AmountIsOfLines,
        custom.BadCustomValue,
        custom.CustomValueTaken,
        *_CLOCK_ERRORS,
    ),
)
async def update_deal(target: ChangeTarget, body: DealUpdate, unit: Unit) -> DealRead:
    """Change facts of a deal. Each kind of fact that changes is an event, and a version."""
    wanted = body.model_dump(exclude_unset=True, exclude={"occurred_at", "custom", "tags"})
    asked = [custom.defining("deal")] if body.custom else []
    source = (Picklist.SOURCE, wanted.pop("source", None))
    locked, fields = await records.lock_deal(unit, target, *asked, value=source)
    if "source" in body.model_fields_set:
        wanted["source_id"] = locked.value.id if locked.value else None
    if wanted.get("owner_id") != locked.deal.owners.last:
        await check_owner(unit, wanted.get("owner_id"))
    at = _instant(unit, locked.deal, body.occurred_at, latest=locked.deal.last_occurred_at)
    unit.explain(records.REFERENCES)
    named = {name: wanted[name] for name in ("contact_id", "company_id") if name in wanted}
    relations = locked.deal.relations.last._asdict()
    require_shown(unit, "deals", **{name: one for name, one in named.items() if one != relations[name]})
    is_retagged = "tags" in body.model_fields_set and tags.are_other(locked.row["tags"], body.tags)
    change = rules.update(locked.deal, wanted, at=at, is_retagged=is_retagged)
    if body.custom:
        filled = custom.merge(custom.definitions(fields[0]), locked.deal.custom, body.custom)
        await custom.check_people(unit, filled)
        change = change.and_then(rules.fill_in(change.deal, filled, at=at))
        custom.claim(unit, "deal", locked.deal.id, filled)
    if is_retagged:
        tags.put_on(unit, "deal", locked.deal.id, body.tags)
        locked = replace(locked, row={**locked.row, "tags": body.tags})
    return await _answer(unit, locked, change)


@router.delete("/{deal_id}", status_code=204, responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def delete_deal(target: ChangeTarget, unit: Unit) -> None:
    """Delete a deal. Reports as of earlier instants still know it."""
    locked, _ = await records.lock_deal(unit, target)
    records.write(unit, known=[rules.delete(locked.deal, now=unit.now)])


@router.post("/{deal_id}/move", responses=problems(*_MOVE_ERRORS, errors.ReasonNeeded))
async def move_deal(target: CommandTarget, body: DealMove, caller: RecordWriter, unit: Unit) -> DealRead:
    """Move a deal to another stage of its pipeline. Into a won or lost stage it is a win or a loss.

    A backdated move takes its place among the deal's older entries; the stage entered last stays the present one. A
    move into the stage where the deal is changes nothing. Moving on among won stages leaves the win where it is.
    """
    stage = places.STAGE.bind(stage_id=body.stage_id)
    needed = places.EXIT_FIELDS.bind(deal_id=target.deal_id)
    reason = (Picklist.LOST_REASON, body.reason)
    locked, [stages, exits] = await records.lock_deal(unit, target, stage, needed, value=reason)
    _check_fields(unit, caller, locked.deal, _only(stages), exits, override=body.override_reason)
    at = _instant(unit, locked.deal, body.occurred_at, latest=locked.deal.stage_entered_at)
    change = rules.move(
        locked.deal,
        _only(stages),
        has_reason=body.reason is not None,
        lost_reason_id=locked.value.id if locked.value else None,
        at=at,
    )
    return await _answer(unit, locked, change)


@router.post("/{deal_id}/win", responses=problems(*_MOVE_ERRORS))
async def win_deal(target: CommandTarget, caller: RecordWriter, unit: Unit, body: DealWin | None = None) -> DealRead:
    """Win a deal."""
    body = body or DealWin()
    return await _close(unit, target, caller, Outcome.WON, occurred_at=body.occurred_at, override=body.override_reason)


@router.post("/{deal_id}/lose", responses=problems(*_MOVE_ERRORS))
async def lose_deal(target: CommandTarget, body: DealLose, caller: RecordWriter, unit: Unit) -> DealRead:
    """Lose a deal, and say why."""
    return await _close(unit, target, caller, Outcome.LOST, occurred_at=body.occurred_at, reason=body.reason)


@router.post("/{deal_id}/reopen", responses=problems(*_MOVE_ERRORS, errors.DealIsOpen, errors.StageNotOpen))
async def reopen_deal(target: CommandTarget, unit: Unit, body: DealReopen | None = None) -> DealRead:
    """Open a closed deal again, in the stage it was closed from unless told otherwise."""
    body = body or DealReopen()
    asked = [places.STAGE.bind(stage_id=body.stage_id)] if body.stage_id else []
    open_stages = places.STAGES_OF_KIND.bind(deal_id=target.deal_id, kind=StageKind.OPEN)
    locked, [found, *stages] = await records.lock_deal(unit, target, open_stages, *asked)
    at = _instant(unit, locked.deal, body.occurred_at, latest=locked.deal.stage_entered_at)
    change = rules.reopen(
        locked.deal,
        asked=_only(stages[0]) if stages else None,
        open_stages=[places.as_stage(stage) for stage in found],
        at=at,
    )
    return await _answer(unit, locked, change)


@router.post("/{deal_id}/distribute", responses=problems(NotFound, PreconditionFailed, NoDistributionRule))
async def distribute_deal(target: CommandTarget, unit: Unit) -> DealRead:
    """Let the rules of distribution choose whose a deal is from now on."""
    locked, _ = await records.lock_deal(unit, target)
    deal = locked.deal
    chosen = await distribution.distribute(
        unit,
        pipeline_id=deal.stage.pipeline_id,
        source_id=deal.relations.last.source_id,
        is_asked=True,
        deal_id=deal.id,
    )
    if chosen is None:
        raise NoDistributionRule
    distribution.note(unit, chosen, deal.id)
    at = _instant(unit, deal, None, latest=deal.last_occurred_at)
    return await _answer(unit, locked, rules.update(deal, {"owner_id": chosen.user_id}, at=at))


@router.get("/{deal_id}/history", responses=problems(NotFound))
async def list_deal_history(target: Target, unit: Unit) -> PageOf[DealHistoryEntry]:
    """List every event of a deal on one page, in the order in which they were true."""
    return PageOf(items=history_answers(*await records.read_history(unit, target)), next_cursor=None)


async def _chosen(unit: UnitOfWork, body: DealCreate, source: Row | None, *, is_automatic: bool) -> Chosen | None:
    """What a rule of distribution chooses for a new deal, where one is asked or there is an automatic one."""
    is_asked = body.owner_id == DISTRIBUTE
    if not is_asked and ("owner_id" in body.model_fields_set or not is_automatic):
        return None
    chosen = await distribution.distribute(
        unit, pipeline_id=body.pipeline_id, source_id=source.id if source else None, is_asked=is_asked
    )
    if chosen is None and is_asked:
        raise NoDistributionRule
    return chosen


def _named_owner(body: DealCreate, caller_id: UUID) -> UUID | None:
    if "owner_id" not in body.model_fields_set:
        return caller_id
    return body.owner_id if isinstance(body.owner_id, UUID) else None


async def _close(
    unit: UnitOfWork,
    target: DealTarget,
    caller: Caller,
    outcome: Outcome,
    *,
    occurred_at: datetime | None,
    reason: str | None = None,
    override: str | None = None,
) -> DealRead:
    stages = places.STAGES_OF_KIND.bind(deal_id=target.deal_id, kind=StageKind(outcome.value))
    needed = places.EXIT_FIELDS.bind(deal_id=target.deal_id)
    locked, [found, exits] = await records.lock_deal(unit, target, stages, needed, value=(Picklist.LOST_REASON, reason))
    if found and locked.deal.is_open:
        _check_fields(unit, caller, locked.deal, places.as_stage(found[0]), exits, override=override)
    change = rules.close(
        locked.deal,
        places.as_stage(found[0]) if found else None,
        lost_reason_id=locked.value.id if locked.value else None,
        at=_instant(unit, locked.deal, occurred_at, latest=locked.deal.stage_entered_at),
    )
    return await _answer(unit, locked, change)


def _check_fields(
    unit: UnitOfWork, caller: Caller, deal: Deal, stage: StageRef, exits: list[Row], *, override: str | None
) -> None:
    """Hold a deal against what stages ask for; a manager may say why it goes on without, which the audit log keeps."""
    try:
        rules.check_fields(deal, stage, exit_fields=exits[0].exit_fields if exits else ())
    except errors.FieldsMissing as missing:
        if override is None:
            raise
        if caller.role not in _MAY_OVERRIDE:
            raise Forbidden(
                "Only managers and administrators may let a deal go on without what a stage asks for."
            ) from missing
        lacking = {"leaving": list(missing.leaving), "entering": list(missing.entering), "reason": override}
        note(unit, "deal.criteria_overridden", resource="deal", resource_id=deal.id, after=lacking)


def _only(stages: list[Row]) -> StageRef:
    if not stages:
        raise UnknownReference("stage_id", "stage")
    return places.as_stage(stages[0])


def _instant(unit: UnitOfWork, deal: Deal, occurred_at: datetime | None, *, latest: datetime) -> datetime:
    return rules.instant_of(occurred_at, now=unit.now, created_at=deal.created_at, latest=latest)


async def _answer(unit: UnitOfWork, locked: Locked, change: rules.Change) -> DealRead:
    records.write(unit, known=[change])
    shown = records.shown(unit, change.deal, locked.value, locked.row) if change.facts else locked.row
    return deal_answer((await completed(unit, "deal", [shown]))[0])
