"""Deals that the organization has already: locked, with what the event log knows of their paths."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from api.imports.batch import Batch
from api.imports.bulk import is_one_of, look_up
from api.imports.deal_shapes import DealState
from api.imports.directory import Directory
from api.imports.timeline import Tracks
from api.imports.track import Track
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from contracts.events.deals import (
    DealAmountChanged,
    DealClosed,
    DealCreated,
    DealOwnerChanged,
    DealReopened,
    DealStageChanged,
)

_ENTERING = (DealCreated.type, DealStageChanged.type, DealClosed.type, DealReopened.type)
_OWNING = (DealCreated.type, DealOwnerChanged.type)
_VALUING = (DealCreated.type, DealAmountChanged.type)
_TYPES = sorted({*_ENTERING, *_OWNING, *_VALUING})


@dataclass(frozen=True)
class KnownDeal:
    """A deal as it stands, and its path."""

    id: UUID
    version: int
    state: DealState
    tracks: Tracks


async def load_known_deals(batch: Batch, directory: Directory, external_ids: Sequence[str]) -> dict[str, KnownDeal]:
    """Lock the deals with these external ids, in the order of their ids, and read their paths."""
    query = select(Deal).where(
        Deal.organization_id == batch.organization_id,
        is_one_of(Deal.external_id, list(external_ids)),
        Deal.deleted_at.is_(None),
    )
    deals = (await look_up(batch.session, query.order_by(Deal.id).with_for_update())).scalars().all()
    if not deals:
        return {}
    logs: dict[UUID, list[EventLogRow]] = {deal.id: [] for deal in deals}
    of_deals = select(EventLogRow).where(
        EventLogRow.organization_id == batch.organization_id,
        is_one_of(EventLogRow.aggregate_id, list(logs)),
        EventLogRow.type.in_(_TYPES),
    )
    in_order = of_deals.order_by(EventLogRow.aggregate_id, EventLogRow.aggregate_version)
    for event in (await look_up(batch.session, in_order)).scalars():
        logs[event.aggregate_id].append(event)
    return {
        deal.external_id: KnownDeal(deal.id, deal.version, _state(deal, directory), _tracks(logs[deal.id], directory))
        for deal in deals
        if deal.external_id is not None
    }


def _state(deal: Deal, directory: Directory) -> DealState:
    return DealState(
        title=deal.title,
        pipeline_id=deal.pipeline_id,
        stage=directory.stages[deal.stage_id],
        stage_entered_at=deal.stage_entered_at,
        last_occurred_at=deal.last_occurred_at,
        created_at=deal.created_at,
        money=(deal.amount_minor, deal.currency),
        owner_id=deal.owner_id,
        company_id=deal.company_id,
        contact_id=deal.contact_id,
        source_id=deal.source_id,
        close_date=deal.close_date,
        lost_reason_id=deal.lost_reason_id,
    )


def _tracks(log: Sequence[EventLogRow], directory: Directory) -> Tracks:
    def uuid_of(text: str | None) -> UUID | None:
        return UUID(text) if text is not None else None

    return Tracks(
        stages=Track.of(
            (event.occurred_at, directory.stages[UUID(event.data["to_stage_id"])])
            for event in log
            if event.type in _ENTERING
        ),
        owners=Track.of((event.occurred_at, uuid_of(event.data["owner_id"])) for event in log if event.type in _OWNING),
        amounts=Track.of(
            (event.occurred_at, (event.data["amount_minor"], event.data["currency"]))
            for event in log
            if event.type in _VALUING
        ),
    )
