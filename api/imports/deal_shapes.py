"""What a deal's path is made of: rows as read, the deal as it stands, the events that come out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar
from uuid import UUID

from contracts.events.envelope import Event
from contracts.stages import StageKind


@dataclass(frozen=True, kw_only=True)
class StageRef:
    """A stage as far as a path cares."""

    id: UUID
    pipeline_id: UUID
    kind: StageKind


#: An amount in minor units, and its currency.
Money = tuple[int | None, str]
V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class Entry(Generic[V]):
    """A row of history: the value that held from an instant on. `line` tells the row apart from others."""

    at: datetime
    value: V
    actor_id: UUID | None = None
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class DealRow:
    """A deal's own row, its names already turned into ids. None: the file does not say."""

    title: str | None
    stage: StageRef | None
    created_at: datetime | None
    closed_at: datetime | None
    close_date: date | None
    amount_minor: int | None
    currency: str | None
    owner_id: UUID | None
    company_id: UUID | None
    contact_id: UUID | None
    source_id: UUID | None
    lost_reason_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class History:
    """The history rows of one deal."""

    visits: Sequence[Entry[StageRef]] = ()
    handovers: Sequence[Entry[UUID | None]] = ()
    revaluations: Sequence[Entry[Money]] = ()


@dataclass(frozen=True, kw_only=True)
class DealState:
    """A deal as it stands."""

    title: str
    pipeline_id: UUID
    stage: StageRef
    stage_entered_at: datetime
    last_occurred_at: datetime
    created_at: datetime
    money: Money
    owner_id: UUID | None
    company_id: UUID | None
    contact_id: UUID | None
    source_id: UUID | None
    close_date: date | None
    lost_reason_id: UUID | None


@dataclass(frozen=True)
class Fact:
    """One event to append, and who did it (None: the import)."""

    event: Event
    occurred_at: datetime
    actor_id: UUID | None = None
