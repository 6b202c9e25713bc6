"""Plain deals and paths through stages that tests of rules speak of: day 0 is the first of May."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api.deals.backfill import DealRow
from api.deals.rules import NewDeal, begin
from api.deals.state import Deal, Money, Relations, StageRef
from api.deals.timeline import Entry
from contracts.stages import StageKind

MAY = datetime(2026, 5, 1, tzinfo=UTC)
NOW = MAY + timedelta(days=60)
PIPELINE = UUID(int=99)
PRICE = UUID(int=50)


def stage(number: int, kind: StageKind = StageKind.OPEN) -> StageRef:
    return StageRef(UUID(int=number), PIPELINE, kind)


A, B, C = stage(1), stage(2), stage(3)
WON, PAID = stage(4, StageKind.WON), stage(5, StageKind.WON)
LOST, GONE = stage(6, StageKind.LOST), stage(7, StageKind.LOST)
STAGES = (A, B, C, WON, PAID, LOST, GONE)


def day(number: float) -> datetime:
    return MAY + timedelta(days=number)


def new(first: StageRef = A, **fields: Any) -> NewDeal:
    said: dict[str, Any] = {
        "id": UUID(int=7),
        "external_id": "7",
        "title": "400 seats",
        "stage": first,
        "money": Money(100, "EUR"),
        "relations": Relations(None, None, None),
        "owner_id": None,
        "close_date": None,
    }
    return NewDeal(**said | fields)


def begun(first: StageRef = A) -> Deal:
    return begin(new(first), at=MAY).deal


def entries(*path: tuple[float, StageRef]) -> list[Entry[StageRef]]:
    return [Entry(day(number), to, line=line) for line, (number, to) in enumerate(path)]


def path(deal: Deal) -> list[tuple[float, StageRef]]:
    return [((visit.at - MAY) / timedelta(days=1), visit.value) for visit in deal.visits]


def row(where: StageRef = A, **fields: Any) -> DealRow:
    blank: dict[str, Any] = dict.fromkeys(DealRow.__dataclass_fields__)
    return DealRow(**blank | {"stage": where} | fields)
