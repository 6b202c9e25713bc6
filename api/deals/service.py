"""Deals: create, change, delete. Changes of stage are in `move`; this module never enters one but the first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.deals import repository
from api.deals.facts import FACT_EVENTS, DealFacts, events_between, facts_at
from api.deals.instants import instant_of_change, past_instant
from api.deals.move import DealTarget, Occurrence, StageNotOpen, lock_deal
from api.deals.schemas import DealCreate
from api.kernel.constraints import UnknownReference, explained, unknown
from api.kernel.context import Context
from api.kernel.errors import Conflict
from api.kernel.event_log import NewEvent, append, append_many
from api.kernel.owners import require_owner
from api.models.deal import Deal
from api.models.stage import Stage
from api.picklists.service import Picklist, find_or_create
from api.pipelines.rules import StageIsRetired
from contracts.events.deals import DealCreated, DealDeleted
from contracts.events.envelope import Event
from contracts.stages import StageKind


class ExternalIdTaken(Conflict):
    """Another deal has this id of another system."""

    code = "external_id_taken"

    def __init__(self, external_id: str | None) -> None:
        self.external_id = external_id
        super().__init__(f"Another deal has the external_id {external_id!r}.")


class PipelineIsRetired(Conflict):
    """A retired pipeline takes no new deals."""

    code = "pipeline_retired"

    def __init__(self) -> None:
        super().__init__("This pipeline is retired.")


_REFERENCES = {
    "fk_deals_company_id": unknown("company_id", "company"),
    "fk_deals_contact_id": unknown("contact_id", "contact"),
    "fk_deals_owner_id": unknown("owner_id", "active user"),
}


@dataclass(frozen=True)
class _Beginning:
    stage: Stage
    currency: str


async def create_deal(
    session: AsyncSession, context: Context, *, body: DealCreate, owner_id: UUID | None, now: datetime
) -> Deal:
    """Create a deal in an open stage of its pipeline.

    Raises:
        UnknownReference: pipeline, stage, owner, company or contact is none of the organization's.
        PipelineIsRetired, StageIsRetired, StageNotOpen: no deal can begin there.
        ExternalIdTaken: another deal has it.
    """
    beginning = await _beginning(session, context, pipeline_id=body.pipeline_id, stage_id=body.stage_id)
    instant = past_instant(body.occurred_at, now=now)
    await require_owner(session, context, owner_id=owner_id)
    event = DealCreated(
        pipeline_id=body.pipeline_id,
        to_stage_id=beginning.stage.id,
        amount_minor=body.amount_minor,
        currency=body.currency or beginning.currency,
        owner_id=owner_id,
        company_id=body.company_id,
        contact_id=body.contact_id,
        source_id=await _source_id(session, context, label=body.source),
        close_date=body.close_date,
    )
    deal = Deal(
        organization_id=context.organization_id,
        id=uuid7(),
        version=0,
        stage_id=beginning.stage.id,
        status=beginning.stage.kind,
        title=body.title,
        external_id=body.external_id,
        **event.model_dump(exclude={"to_stage_id"}),
    )
    # the event says when it was; nobody else can know the row before this transaction commits
    recorded = await append(session, event, context=context, aggregate=deal, occurred_at=instant)
    deal.created_at = deal.stage_entered_at = deal.last_occurred_at = recorded.occurred_at
    session.add(deal)
    with explained(_REFERENCES | {"uq_deals_external_id": lambda: ExternalIdTaken(body.external_id)}):
        await session.flush()
    return deal


async def update_deal(
    session: AsyncSession,
    context: Context,
    *,
    target: DealTarget,
    changes: Mapping[str, Any],
    occurrence: Occurrence,
) -> Deal:
    """Change facts of a deal: one event for each kind of fact that really changes, none when nothing does.

    A backdated change takes its place among the older ones; the newest fact of each kind stays the present one. The
    title has no history and changes at once. `changes` has the keys of `DealUpdate` that were sent.

    Raises:
        NotFound, PreconditionFailed: as `lock_deal` says.
        UnknownReference: owner, company or contact is none of the organization's.
    """
    deal = await lock_deal(session, context, target)
    instant = instant_of_change(
        occurrence.occurred_at, now=occurrence.now, created_at=deal.created_at, latest=deal.last_occurred_at
    )
    wanted = dict(changes)
    if "owner_id" in wanted and wanted["owner_id"] != deal.owner_id:
        await require_owner(session, context, owner_id=wanted["owner_id"])
    if "source" in wanted:
        wanted["source_id"] = await _source_id(session, context, label=wanted.pop("source"))
    title = wanted.pop("title", deal.title)
    is_backdated = instant is not None and instant < deal.last_occurred_at
    before = await _facts_at(session, context, deal, instant=instant) if is_backdated else DealFacts.of(deal)
    events = events_between(before, before.with_changes(wanted), is_retitled=title != deal.title)
    if not events:
        return deal
    deal.title = title
    if not is_backdated:
        before.with_changes(wanted).write_to(deal)
    latest = await _append_all(session, context, deal, events=events, instant=instant)
    if is_backdated:
        (await _facts_at(session, context, deal, instant=None)).write_to(deal)
    deal.last_occurred_at = max(deal.last_occurred_at, latest)
    with explained(_REFERENCES):
        await session.flush()
    return deal


async def delete_deal(session: AsyncSession, context: Context, *, target: DealTarget, now: datetime) -> None:
    """Delete a deal: it is gone from every list. Its row stays for reports as of earlier instants.

    Raises:
        NotFound, PreconditionFailed: as `lock_deal` says.
    """
    deal = await lock_deal(session, context, target)
    deal.deleted_at = now
    latest = deal.last_occurred_at
    await append(session, DealDeleted(), context=context, aggregate=deal, occurred_at=latest if latest >= now else None)
    await session.flush()


async def _append_all(
    session: AsyncSession, context: Context, deal: Deal, *, events: list[Event], instant: datetime | None
) -> datetime:
    """Append the events of one change, one version each; answers when they occurred."""
    rows = [
        NewEvent(event=event, aggregate_id=deal.id, aggregate_version=deal.version + place, occurred_at=instant)
        for place, event in enumerate(events, start=1)
    ]
    deal.version += len(rows)
    with session.no_autoflush:
        recorded = await append_many(session, rows, context=context)
    return recorded[-1].occurred_at


async def _facts_at(session: AsyncSession, context: Context, deal: Deal, *, instant: datetime | None) -> DealFacts:
    types = [event.type for event in FACT_EVENTS]
    with session.no_autoflush:
        history = await repository.events_of(session, context.organization_id, deal_id=deal.id, types=types)
    return facts_at(history, instant)


async def _beginning(
    session: AsyncSession, context: Context, *, pipeline_id: UUID, stage_id: UUID | None
) -> _Beginning:
    organization_id = context.organization_id
    found = await repository.first_stage(session, organization_id, pipeline_id=pipeline_id, stage_id=stage_id)
    if found is None:
        is_known = await repository.pipeline_exists(session, organization_id, pipeline_id=pipeline_id)
        raise (
            UnknownReference("stage_id", "stage in this pipeline")
            if is_known
            else UnknownReference("pipeline_id", "pipeline")
        )
    stage, is_active, currency = found
    if not is_active:
        raise PipelineIsRetired
    if stage.is_retired:
        raise StageIsRetired
    if stage.stage_kind is not StageKind.OPEN:
        raise StageNotOpen
    return _Beginning(stage, currency)


async def _source_id(session: AsyncSession, context: Context, *, label: str | None) -> UUID | None:
    if label is None:
        return None
    return await find_or_create(session, context, picklist=Picklist.SOURCE, label=label)
