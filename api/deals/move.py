"""Changes of a deal's stage: move, win, lose, reopen.

Each locks the deal's row first, so concurrent changes take turns and each sees the stage the one before left. Only an
open stage can be entered in the past behind newer entries; then the present stage stays.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.deals import repository
from api.deals.instants import OccurredBeforeCreation, instant_of_change
from api.deals.stage_path import StagePath
from api.kernel.constraints import UnknownReference
from api.kernel.context import Context
from api.kernel.errors import Conflict, NotFound, PreconditionFailed, Unprocessable
from api.kernel.event_log import append
from api.models.deal import Deal
from api.models.stage import Stage
from api.picklists.service import Picklist, find_or_create
from api.pipelines.rules import StageIsRetired
from contracts.events.deals import DealClosed, DealReopened, DealStageChanged
from contracts.events.envelope import Event
from contracts.stages import Outcome, StageKind


class DealIsClosed(Conflict):
    """A closed deal moves no more; it can be reopened."""

    code = "deal_closed"

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome
        super().__init__(f"The deal is {outcome}. Reopen it first.")


class DealWasClosed(Conflict):
    """At the given instant the deal was closed."""

    code = "deal_closed"

    def __init__(self, occurred_at: datetime) -> None:
        self.occurred_at = occurred_at
        super().__init__(f"The deal was closed at {occurred_at.isoformat()}; a closed deal does not move.")


class DealIsOpen(Conflict):
    """Only a closed deal can be reopened."""

    code = "deal_open"

    def __init__(self) -> None:
        super().__init__("The deal is open.")


class StageOfOtherPipeline(Conflict):
    """A deal stays in its pipeline."""

    code = "stage_of_other_pipeline"

    def __init__(self) -> None:
        super().__init__("The stage belongs to another pipeline than the deal.")


class BackdatedClosing(Conflict):
    """Wins, losses and reopenings cannot be put before what happened since."""

    code = "later_stage_entry_exists"

    def __init__(self, entered_at: datetime) -> None:
        self.entered_at = entered_at
        super().__init__(
            f"The deal entered its present stage at {entered_at.isoformat()}; it cannot have been closed or reopened"
            " before that."
        )


class StageNotOpen(Unprocessable):
    """An open stage is needed here."""

    code = "stage_not_open"

    def __init__(self) -> None:
        super().__init__("This needs an open stage.", pointer="/stage_id")


class ReasonNeeded(Unprocessable):
    """A loss says why, and nothing else does."""

    code = "reason_mismatch"

    def __init__(self, kind: StageKind) -> None:
        self.kind = kind
        lost = kind is StageKind.LOST
        super().__init__(
            "Say why the deal was lost." if lost else "Only a loss has a reason.",
            pointer="/reason",
        )


@dataclass(frozen=True, kw_only=True)
class DealTarget:
    """The deal to change: whose deals the caller sees, and the version they read, if they said so."""

    deal_id: UUID
    owner_ids: repository.Owners
    expected_version: int | None


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """When a change happened, as the caller says, and what the time is."""

    occurred_at: datetime | None
    now: datetime


async def lock_deal(session: AsyncSession, context: Context, target: DealTarget) -> Deal:
    """The deal as of now, locked until the transaction ends.

    Raises:
        NotFound: no such deal that the caller sees.
        PreconditionFailed: it changed since the caller read it.
    """
    deal = await repository.get_deal(
        session, context.organization_id, deal_id=target.deal_id, owner_ids=target.owner_ids, locked=True
    )
    if deal is None:
        raise NotFound("deal")
    if target.expected_version not in (None, deal.version):
        raise PreconditionFailed
    return deal


async def move_deal(
    session: AsyncSession,
    context: Context,
    *,
    target: DealTarget,
    occurrence: Occurrence,
    stage_id: UUID,
    reason: str | None,
) -> Deal:
    """Move to another stage, which is a win or a loss where its kind says so. A move to where it is changes nothing."""
    deal = await lock_deal(session, context, target)
    stage = await repository.share_stage(session, context.organization_id, stage_id=stage_id)
    if stage is None:
        raise UnknownReference("stage_id", "stage")
    instant = _instant(deal, occurrence)
    _check_entry(deal, stage)
    if (reason is not None) != (stage.stage_kind is StageKind.LOST):
        raise ReasonNeeded(stage.stage_kind)
    if instant is not None and instant < deal.stage_entered_at:
        return await _move_in_the_past(session, context, deal, stage=stage, instant=instant)
    if deal.stage_id == stage.id:
        return deal
    if not deal.is_open:
        raise DealIsClosed(deal.status)
    if stage.stage_kind is StageKind.OPEN:
        event = DealStageChanged(pipeline_id=deal.pipeline_id, from_stage_id=deal.stage_id, to_stage_id=stage.id)
        return await _enter(session, context, deal, stage=stage, event=event, instant=instant)
    return await _close(session, context, deal, stage=stage, instant=instant, reason=reason)


async def close_deal(
    session: AsyncSession,
    context: Context,
    *,
    target: DealTarget,
    occurrence: Occurrence,
    outcome: Outcome,
    reason: str | None = None,
) -> Deal:
    """Win or lose, into the pipeline's first stage of that kind."""
    deal = await lock_deal(session, context, target)
    instant = _instant_after_entries(deal, occurrence)
    if not deal.is_open:
        raise DealIsClosed(deal.status)
    stage = await repository.share_stage(
        session, context.organization_id, pipeline_id=deal.pipeline_id, kind=StageKind(outcome.value)
    )
    if stage is None:
        raise StageIsRetired
    return await _close(session, context, deal, stage=stage, instant=instant, reason=reason)


async def reopen_deal(
    session: AsyncSession, context: Context, *, target: DealTarget, occurrence: Occurrence, stage_id: UUID | None
) -> Deal:
    """Open a closed deal again: in the given stage, else in the one it was closed from, else in the first open one."""
    deal = await lock_deal(session, context, target)
    if deal.is_open:
        raise DealIsOpen
    instant = _instant_after_entries(deal, occurrence)
    stage = await _stage_to_reopen_in(session, context, deal, stage_id=stage_id)
    event = DealReopened(pipeline_id=deal.pipeline_id, from_stage_id=deal.stage_id, to_stage_id=stage.id)
    deal.lost_reason_id = None
    return await _enter(session, context, deal, stage=stage, event=event, instant=instant)


async def _stage_to_reopen_in(session: AsyncSession, context: Context, deal: Deal, *, stage_id: UUID | None) -> Stage:
    organization_id = context.organization_id
    if stage_id is not None:
        stage = await repository.share_stage(session, organization_id, stage_id=stage_id)
        if stage is None:
            raise UnknownReference("stage_id", "stage")
        _check_entry(deal, stage)
        if stage.stage_kind is not StageKind.OPEN:
            raise StageNotOpen
        return stage
    entries = StagePath(await repository.stage_entries(session, organization_id, deal_id=deal.id)).entries
    last_open = next((entry for entry in reversed(entries) if entry.kind is StageKind.OPEN), None)
    if last_open is not None:
        stage = await repository.share_stage(session, organization_id, stage_id=last_open.stage_id)
        if stage is not None and not stage.is_retired:
            return stage
    stage = await repository.share_stage(session, organization_id, pipeline_id=deal.pipeline_id, kind=StageKind.OPEN)
    if stage is None:
        raise StageIsRetired
    return stage


async def _move_in_the_past(
    session: AsyncSession, context: Context, deal: Deal, *, stage: Stage, instant: datetime
) -> Deal:
    if stage.stage_kind is not StageKind.OPEN:
        raise BackdatedClosing(deal.stage_entered_at)
    path = StagePath(await repository.stage_entries(session, context.organization_id, deal_id=deal.id))
    standing = path.at(instant)
    if standing is None:
        raise OccurredBeforeCreation(instant, created_at=deal.created_at)
    if standing.kind is not StageKind.OPEN:
        raise DealWasClosed(instant)
    if standing.stage_id != stage.id:
        event = DealStageChanged(pipeline_id=deal.pipeline_id, from_stage_id=standing.stage_id, to_stage_id=stage.id)
        await append(session, event, context=context, aggregate=deal, occurred_at=instant)
        await session.flush()
    return deal


async def _close(
    session: AsyncSession, context: Context, deal: Deal, *, stage: Stage, instant: datetime | None, reason: str | None
) -> Deal:
    lost_reason_id = None
    if reason is not None:
        lost_reason_id = await find_or_create(session, context, picklist=Picklist.LOST_REASON, label=reason)
    event = DealClosed(
        pipeline_id=deal.pipeline_id,
        from_stage_id=deal.stage_id,
        to_stage_id=stage.id,
        outcome=Outcome(stage.kind),
        lost_reason_id=lost_reason_id,
    )
    deal.lost_reason_id = lost_reason_id
    return await _enter(session, context, deal, stage=stage, event=event, instant=instant)


async def _enter(
    session: AsyncSession, context: Context, deal: Deal, *, stage: Stage, event: Event, instant: datetime | None
) -> Deal:
    # the event says when it was, so the row is written after it, once
    with session.no_autoflush:
        recorded = await append(session, event, context=context, aggregate=deal, occurred_at=instant)
    deal.stage_id, deal.status = stage.id, stage.kind
    deal.stage_entered_at = recorded.occurred_at
    deal.last_occurred_at = max(deal.last_occurred_at, recorded.occurred_at)
    await session.flush()
    return deal


def _check_entry(deal: Deal, stage: Stage) -> None:
    if stage.pipeline_id != deal.pipeline_id:
        raise StageOfOtherPipeline
    if stage.is_retired:
        raise StageIsRetired


def _instant(deal: Deal, occurrence: Occurrence) -> datetime | None:
    return instant_of_change(
        occurrence.occurred_at, now=occurrence.now, created_at=deal.created_at, latest=deal.stage_entered_at
    )


def _instant_after_entries(deal: Deal, occurrence: Occurrence) -> datetime | None:
    instant = _instant(deal, occurrence)
    if instant is not None and instant < deal.stage_entered_at:
        raise BackdatedClosing(deal.stage_entered_at)
    return instant
