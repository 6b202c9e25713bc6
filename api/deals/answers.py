"""Deals and their events as callers see them: picklist values by label, looked up once per answer."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.deals.schemas import DealHistoryEntry, DealRead
from api.models.deal import Deal
from api.picklists import service as picklists
from contracts.events.envelope import Envelope, Event

#: Facts that are picklist values, and the names under which their labels are answered.
_LABELLED = {"source_id": "source", "lost_reason_id": "lost_reason"}
_PLAIN = DealRead.model_fields.keys() - set(_LABELLED.values())


async def deal_answers(session: AsyncSession, organization_id: UUID, deals: Sequence[Deal]) -> list[DealRead]:
    """The deals, in order."""
    values = {getattr(deal, column) for deal in deals for column in _LABELLED} - {None}
    labels = await picklists.labels(session, organization_id=organization_id, ids=values)
    return [_answer(deal, labels) for deal in deals]


async def deal_answer(session: AsyncSession, organization_id: UUID, deal: Deal) -> DealRead:
    """One deal."""
    [answer] = await deal_answers(session, organization_id, [deal])
    return answer


def _answer(deal: Deal, labels: dict[UUID, str]) -> DealRead:
    plain = {name: getattr(deal, name) for name in _PLAIN}
    return DealRead(**plain, **{name: labels.get(getattr(deal, column)) for column, name in _LABELLED.items()})


async def history_answers(
    session: AsyncSession, organization_id: UUID, history: Iterable[Envelope[Event]]
) -> list[DealHistoryEntry]:
    """The events, in the order in which they were true."""
    ordered = sorted(history, key=lambda one: (one.occurred_at, one.aggregate_version))
    said = [envelope.data.model_dump(mode="json") for envelope in ordered]
    values = {UUID(facts[column]) for facts in said for column in _LABELLED if facts.get(column)}
    labels = await picklists.labels(session, organization_id=organization_id, ids=values)
    return [_entry(envelope, facts, labels) for envelope, facts in zip(ordered, said, strict=True)]


def _entry(envelope: Envelope[Event], facts: dict[str, Any], labels: dict[UUID, str]) -> DealHistoryEntry:
    changes = {name: value for name, value in facts.items() if name not in ("from_stage_id", "to_stage_id")}
    for column, name in _LABELLED.items():
        if column in changes:
            value = changes.pop(column)
            changes[name] = None if value is None else labels.get(UUID(value))
    return DealHistoryEntry(
        event_id=envelope.id,
        version=envelope.aggregate_version,
        type=envelope.type,
        occurred_at=envelope.occurred_at,
        recorded_at=envelope.recorded_at,
        actor=envelope.actor,
        actor_id=envelope.actor_id,
        correlation_id=envelope.correlation_id,
        from_stage_id=facts.get("from_stage_id"),
        to_stage_id=facts.get("to_stage_id"),
        changes=changes,
    )
