"""`/v1/deals`: the deals a caller sees, their changes and their history."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from api.deals import move, repository, service
from api.deals.answers import deal_answer, deal_answers, history_answers
from api.deals.instants import OccurredBeforeCreation, OccurredInFuture
from api.deals.repository import DealFilter
from api.deals.schemas import (
    DealCreate,
    DealHistoryEntry,
    DealLose,
    DealMove,
    DealRead,
    DealReopen,
    DealUpdate,
    DealWin,
)
from api.edge.dependencies import CurrentCaller, IfMatch, OptionalIfMatch, RecordWriter, Session
from api.edge.fields import SearchText
from api.edge.pages import Page, PageOf, fetch_page
from api.edge.routing import problems, slice_router
from api.kernel.caller import Caller
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.visibility import visible_users
from api.models.deal import Deal
from api.pipelines.rules import StageIsRetired
from contracts.stages import Outcome, StageKind

router = slice_router(prefix="/deals", tags=["deals"])

_CLOCK_ERRORS = (OccurredInFuture, OccurredBeforeCreation)
_MOVE_ERRORS = (
    NotFound,
    PreconditionFailed,
    move.DealIsClosed,
    move.StageOfOtherPipeline,
    move.BackdatedClosing,
    StageIsRetired,
    UnknownReference,
    *_CLOCK_ERRORS,
)


async def _filter(
    pipeline_id: UUID | None = None,
    stage_id: UUID | None = None,
    status: StageKind | None = None,
    owner_id: UUID | None = None,
    company_id: UUID | None = None,
    contact_id: UUID | None = None,
    q: Annotated[SearchText | None, Query(description="Part of the title, in any case.")] = None,
) -> DealFilter:
    return DealFilter(
        pipeline_id=pipeline_id,
        stage_id=stage_id,
        status=status,
        owner_id=owner_id,
        company_id=company_id,
        contact_id=contact_id,
        text=q,
    )


async def _target(deal_id: UUID, caller: CurrentCaller, session: Session) -> move.DealTarget:
    return move.DealTarget(deal_id=deal_id, owner_ids=await visible_users(session, caller), expected_version=None)


async def _target_if_matching(
    deal_id: UUID, caller: RecordWriter, session: Session, if_match: OptionalIfMatch
) -> move.DealTarget:
    owner_ids = await visible_users(session, caller)
    return move.DealTarget(deal_id=deal_id, owner_ids=owner_ids, expected_version=if_match)


async def _target_as_read(deal_id: UUID, caller: RecordWriter, session: Session, if_match: IfMatch) -> move.DealTarget:
    owner_ids = await visible_users(session, caller)
    return move.DealTarget(deal_id=deal_id, owner_ids=owner_ids, expected_version=if_match)


#: The deal of the path, as far as the caller sees it.
Target = Annotated[move.DealTarget, Depends(_target)]
#: The same for a command: If-Match is honoured when sent.
CommandTarget = Annotated[move.DealTarget, Depends(_target_if_matching)]
#: The same for a change: If-Match is required.
ChangeTarget = Annotated[move.DealTarget, Depends(_target_as_read)]


@router.post(
    "",
    status_code=201,
    responses=problems(
        UnknownReference,
        move.StageNotOpen,
        OccurredInFuture,
        service.PipelineIsRetired,
        StageIsRetired,
        service.ExternalIdTaken,
    ),
)
async def create_deal(body: DealCreate, caller: RecordWriter, session: Session, response: Response) -> DealRead:
    """Create a deal, in the pipeline's first open stage unless told otherwise."""
    owner_id = body.owner_id if "owner_id" in body.model_fields_set else caller.user_id
    deal = await service.create_deal(session, caller.context, body=body, owner_id=owner_id, now=datetime.now(UTC))
    response.headers["Location"] = f"/v1/deals/{deal.id}"
    return await deal_answer(session, caller.organization_id, deal)


@router.get("")
async def list_deals(
    caller: CurrentCaller, session: Session, page: Page, only: Annotated[DealFilter, Depends(_filter)]
) -> PageOf[DealRead]:
    """List the deals you see, newest first."""
    owner_ids = await visible_users(session, caller)
    query = repository.select_deals(caller.organization_id, owner_ids, only=only)
    deals, cursor = await fetch_page(session, query, page=page, id_column=Deal.id, newest_first=True)
    return PageOf(items=await deal_answers(session, caller.organization_id, deals), next_cursor=cursor)


@router.get("/{deal_id}", responses=problems(NotFound))
async def read_deal(target: Target, caller: CurrentCaller, session: Session) -> DealRead:
    """Read a deal."""
    return await deal_answer(session, caller.organization_id, await _seen(session, caller, target))


@router.patch(
    "/{deal_id}",
    responses=problems(NotFound, PreconditionFailed, PreconditionRequired, UnknownReference, *_CLOCK_ERRORS),
)
async def update_deal(target: ChangeTarget, body: DealUpdate, caller: RecordWriter, session: Session) -> DealRead:
    """Change facts of a deal. Each kind of fact that changes is an event, and a version."""
    changes = body.model_dump(exclude_unset=True, exclude={"occurred_at"})
    deal = await service.update_deal(
        session, caller.context, target=target, changes=changes, occurrence=_occurrence(body.occurred_at)
    )
    return await deal_answer(session, caller.organization_id, deal)


@router.delete("/{deal_id}", status_code=204, responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def delete_deal(target: ChangeTarget, caller: RecordWriter, session: Session) -> None:
    """Delete a deal. Reports as of earlier instants still know it."""
    await service.delete_deal(session, caller.context, target=target, now=datetime.now(UTC))


@router.post("/{deal_id}/move", responses=problems(*_MOVE_ERRORS, move.ReasonNeeded))
async def move_deal(target: CommandTarget, body: DealMove, caller: RecordWriter, session: Session) -> DealRead:
    """Move a deal to another stage of its pipeline. Into a won or lost stage it is a win or a loss.

    A backdated move takes its place among the deal's older entries; the stage entered last stays the present one. A
    move into the stage where the deal is changes nothing.
    """
    deal = await move.move_deal(
        session,
        caller.context,
        target=target,
        occurrence=_occurrence(body.occurred_at),
        stage_id=body.stage_id,
        reason=body.reason,
    )
    return await deal_answer(session, caller.organization_id, deal)


@router.post("/{deal_id}/win", responses=problems(*_MOVE_ERRORS))
async def win_deal(
    target: CommandTarget, caller: RecordWriter, session: Session, body: DealWin | None = None
) -> DealRead:
    """Win a deal."""
    occurrence = _occurrence(body.occurred_at if body else None)
    deal = await move.close_deal(session, caller.context, target=target, occurrence=occurrence, outcome=Outcome.WON)
    return await deal_answer(session, caller.organization_id, deal)


@router.post("/{deal_id}/lose", responses=problems(*_MOVE_ERRORS))
async def lose_deal(target: CommandTarget, body: DealLose, caller: RecordWriter, session: Session) -> DealRead:
    """Lose a deal, and say why."""
    deal = await move.close_deal(
        session,
        caller.context,
        target=target,
        occurrence=_occurrence(body.occurred_at),
        outcome=Outcome.LOST,
        reason=body.reason,
    )
    return await deal_answer(session, caller.organization_id, deal)


@router.post("/{deal_id}/reopen", responses=problems(*_MOVE_ERRORS, move.DealIsOpen, move.StageNotOpen))
async def reopen_deal(
    target: CommandTarget, caller: RecordWriter, session: Session, body: DealReopen | None = None
) -> DealRead:
    """Open a closed deal again, in the stage it was closed from unless told otherwise."""
    deal = await move.reopen_deal(
        session,
        caller.context,
        target=target,
        occurrence=_occurrence(body.occurred_at if body else None),
        stage_id=body.stage_id if body else None,
    )
    return await deal_answer(session, caller.organization_id, deal)


@router.get("/{deal_id}/history", responses=problems(NotFound))
async def list_deal_history(target: Target, caller: CurrentCaller, session: Session) -> PageOf[DealHistoryEntry]:
    """List every event of a deal on one page, in the order in which they were true."""
    deal = await _seen(session, caller, target)
    history = await repository.events_of(session, caller.organization_id, deal_id=deal.id)
    return PageOf(items=await history_answers(session, caller.organization_id, history), next_cursor=None)


async def _seen(session: Session, caller: Caller, target: move.DealTarget) -> Deal:
    deal = await repository.get_deal(
        session, caller.organization_id, deal_id=target.deal_id, owner_ids=target.owner_ids
    )
    if deal is None:
        raise NotFound("deal")
    return deal


def _occurrence(occurred_at: datetime | None) -> move.Occurrence:
    return move.Occurrence(occurred_at=occurred_at, now=datetime.now(UTC))
