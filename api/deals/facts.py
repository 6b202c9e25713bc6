"""What was true of a deal, replayed from its events: pure rules, no database.

Facts are ordered by (occurred_at, aggregate_version), so a backdated change of an amount or an owner takes its place
among the older ones and the newest one keeps its say. Stages have rules of their own, in `stage_path`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from typing import Any, Self
from uuid import UUID

from api.models.deal import Deal
from contracts.events.deals import (
    DealAmountChanged,
    DealCloseDateChanged,
    DealCreated,
    DealOwnerChanged,
    DealUpdated,
)
from contracts.events.envelope import Envelope, Event


@dataclass(frozen=True, kw_only=True)
class DealFacts:
    """The facts of a deal that events carry, as of one instant."""

    amount_minor: int | None
    currency: str
    owner_id: UUID | None
    company_id: UUID | None
    contact_id: UUID | None
    source_id: UUID | None
    close_date: date | None

    @classmethod
    def of(cls, deal: Deal) -> Self:
        """The facts as they stand."""
        return cls(**{name: getattr(deal, name) for name in FACTS})

    def with_changes(self, changes: Mapping[str, Any]) -> "DealFacts":
        """The facts after the changes; names of no fact are ignored."""
        return replace(self, **{name: value for name, value in changes.items() if name in FACTS})

    def write_to(self, deal: Deal) -> None:
        """Make them the present ones."""
        for name, value in asdict(self).items():
            setattr(deal, name, value)


FACTS = frozenset(field.name for field in fields(DealFacts))

_RELATIONS = ("company_id", "contact_id", "source_id")
#: The events that say something about a deal's facts.
FACT_EVENTS: tuple[type[Event], ...] = (
    DealCreated,
    DealUpdated,
    DealAmountChanged,
    DealOwnerChanged,
    DealCloseDateChanged,
)


def facts_at(history: Iterable[Envelope[Event]], instant: datetime | None) -> DealFacts:
    """The facts as of `instant`, or the newest ones; `history` begins with the deal's creation."""
    state: dict[str, Any] = {}
    for envelope in sorted(history, key=lambda one: (one.occurred_at, one.aggregate_version)):
        if instant is None or envelope.occurred_at <= instant:
            said = envelope.data.model_dump()
            state |= {name: said[name] for name in FACTS & said.keys()}
    return DealFacts(**state)


def events_between(before: DealFacts, after: DealFacts, *, is_retitled: bool) -> list[Event]:
    """One event per kind of fact that differs. Of a title only the change is told, never the text."""
    events: list[Event] = []
    changed = [name for name in _RELATIONS if getattr(before, name) != getattr(after, name)]
    if is_retitled:
        changed.append("title")
    if changed:
        events.append(
            DealUpdated(
                company_id=after.company_id,
                contact_id=after.contact_id,
                source_id=after.source_id,
                changed_fields=changed,
            )
        )
    if (before.amount_minor, before.currency) != (after.amount_minor, after.currency):
        events.append(DealAmountChanged(amount_minor=after.amount_minor, currency=after.currency))
    if before.owner_id != after.owner_id:
        events.append(DealOwnerChanged(owner_id=after.owner_id))
    if before.close_date != after.close_date:
        events.append(DealCloseDateChanged(close_date=after.close_date))
    return events
