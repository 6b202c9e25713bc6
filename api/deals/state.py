"""A deal as the rules see it: its stages, owners, amounts and other facts over time. Pure; made from its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from api.deals.timeline import Entry, Timeline
from contracts.events.deals import (
    DealAmountChanged,
    DealClosed,
    DealCloseDateChanged,
    DealCreated,
    DealOwnerChanged,
    DealReopened,
    DealStageChanged,
    DealUpdated,
)
from contracts.events.envelope import Event
from contracts.stages import StageKind


@dataclass(frozen=True, slots=True)
class StageRef:
    """A stage as far as a deal's path cares."""

    id: UUID
    pipeline_id: UUID = field(compare=False)
    kind: StageKind = field(compare=False)
    is_retired: bool = field(default=False, compare=False)
    #: Fields that a deal must have before it enters.
    entry_fields: tuple[str, ...] = field(default=(), compare=False)
    target_days: int | None = field(default=None, compare=False)


class Money(NamedTuple):
    """An amount, if known, in minor units of a currency."""

    amount_minor: int | None
    currency: str


class Relations(NamedTuple):
    """What a deal is related to; one event tells all of it."""

    company_id: UUID | None
    contact_id: UUID | None
    source_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class Deal:
    """One deal. `last_occurred_at` is the latest instant among its events: a change from then on is the newest."""

    id: UUID
    external_id: str | None
    version: int
    title: str
    last_occurred_at: datetime
    stages: Timeline[StageRef]
    owners: Timeline[UUID | None]
    amounts: Timeline[Money]
    relations: Timeline[Relations]
    close_dates: Timeline[date | None]
    lost_reason_id: UUID | None = None
    deleted_at: datetime | None = None
    has_lines: bool = False
    custom: Mapping[str, Any] = field(default_factory=dict)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Of these fields, those that it does not have."""
        return [name for name in names if self._value(name) is None]

    def _value(self, name: str) -> object:
        if name.startswith("custom."):
            return self.custom.get(name.removeprefix("custom."))
        known = {
            "amount_minor": self.amounts.last.amount_minor,
            "close_date": self.close_dates.last,
            "owner_id": self.owners.last,
            "source": self.relations.last.source_id,
            "company_id": self.relations.last.company_id,
            "contact_id": self.relations.last.contact_id,
        }
        return known.get(name)

    @property
    def created_at(self) -> datetime:
        """When it began."""
        return self.stages.entries[0].at

    @cached_property
    def visits(self) -> list[Entry[StageRef]]:
        """The stages that it entered, in order."""
        return self.stages.visits()

    @property
    def stage(self) -> StageRef:
        """Where it stands."""
        return self.visits[-1].value

    def is_rotting(self, now: datetime) -> bool:
        """Whether it is open and longer in its stage than that is meant to last, where the stage says how long."""
        days = self.stage.target_days
        return self.is_open and days is not None and now > self.stage_entered_at + timedelta(days=days)

    @property
    def stage_entered_at(self) -> datetime:
        """Since when it stands there."""
        return self.visits[-1].at

    @property
    def is_open(self) -> bool:
        """Whether it is neither won nor lost."""
        return self.stage.kind is StageKind.OPEN

    @cached_property
    def closing(self) -> Entry[StageRef] | None:
        """What closed it: its first entry into a stage of the present outcome since it had another one."""
        if self.is_open:
            return None
        first = self.visits[-1]
        for visit in reversed(self.visits):
            if visit.value.kind is not first.value.kind:
                break
            first = visit
        return first

    @property
    def closed_at(self) -> datetime | None:
        """When it was won or lost."""
        return self.closing.at if self.closing else None


class Timelines(NamedTuple):
    """What a deal's events say, over time."""

    stages: Timeline[StageRef]
    owners: Timeline[UUID | None]
    amounts: Timeline[Money]
    relations: Timeline[Relations]
    close_dates: Timeline[date | None]


def replay(history: Iterable[tuple[datetime, Event]]) -> Timelines:
    """The timelines of a deal from its events and when each occurred, in the order of their versions."""
    stages: list[tuple[datetime, StageRef]] = []
    owners: list[tuple[datetime, UUID | None]] = []
    amounts: list[tuple[datetime, Money]] = []
    relations: list[tuple[datetime, Relations]] = []
    close_dates: list[tuple[datetime, date | None]] = []
    for at, event in history:
        if isinstance(event, DealCreated | DealStageChanged | DealClosed | DealReopened):
            stages.append((at, StageRef(event.to_stage_id, event.pipeline_id, _kind_entered(event))))
        if isinstance(event, DealCreated | DealOwnerChanged):
            owners.append((at, event.owner_id))
        if isinstance(event, DealCreated | DealAmountChanged):
            amounts.append((at, Money(event.amount_minor, event.currency)))
        if isinstance(event, DealCreated | DealUpdated):
            relations.append((at, Relations(event.company_id, event.contact_id, event.source_id)))
        if isinstance(event, DealCreated | DealCloseDateChanged):
            close_dates.append((at, event.close_date))
    return Timelines(*(Timeline.of(one) for one in (stages, owners, amounts, relations, close_dates)))  # type: ignore[arg-type]  # one by one


def _kind_entered(event: Event) -> StageKind:
    return StageKind(event.outcome) if isinstance(event, DealClosed) else StageKind.OPEN
