"""A deal told after the fact: its row, and rows of the histories of its stages, owners and amounts. No I/O.

Nothing is invented between what the rows say. What is told again is known; a file is the same whatever was learned of
the deal before it, and in which order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from api.deals.rules import Change, NewDeal, begin, learn, update
from api.deals.state import Deal, Money, Relations, StageRef
from api.deals.timeline import Entry
from contracts.stages import StageKind

V = TypeVar("V")

#: A day on one side and an instant on the other, in whatever zones, are the same day.
_LEEWAY = timedelta(hours=36)


@dataclass(frozen=True, kw_only=True)
class DealRow:
    """A deal's own row, its names already turned into ids. None: the file does not say."""

    title: str | None
    stage: StageRef
    #: The open stage in which it was when it was closed, where the row says that beside its status.
    closed_from: StageRef | None = None
    created_at: datetime | None
    closed_at: datetime | None
    #: Whether the instant is the closing itself, not a day for which it was expected.
    is_closing_said: bool = False
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
    """The history rows of one deal, each entry with its line."""

    stages: Sequence[Entry[StageRef]] = ()
    owners: Sequence[Entry[UUID | None]] = ()
    amounts: Sequence[Entry[Money]] = ()


@dataclass(frozen=True)
class Backfill:
    """What the rows make of a deal, and the lines of history that said nothing new."""

    change: Change
    repeated: frozenset[int] = field(default_factory=frozenset)


class RowsRefusedError(ValueError):
    """Rows that make no path: names the column, what is wrong, and what to do. `line` is a history row's."""

    def __init__(self, column: str, problem: str, *, fix: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.column, self.problem, self.fix, self.line = column, problem, fix, line


def backfill_new(
    row: DealRow,
    history: History,
    *,
    id: UUID,  # noqa: A002 # reads as the column it is
    external_id: str,
    first_open: StageRef | None,
    currency: str,
    learned_at: datetime,
) -> Backfill:
    """A deal that is not known yet. Without a history it begins in `first_open`, its pipeline's first open stage.

    Raises:
        RowsRefusedError: it closes at no known time, or must begin in a pipeline without an open stage.
    """
    visits = sorted(history.stages, key=lambda visit: visit.at)
    at = _creation(row, history, learned_at=learned_at)
    if not visits and row.stage.kind is not StageKind.OPEN:
        _closing(row, learned_at=learned_at)  # has to be said
    stage = visits[0].value if visits else row.closed_from or row.stage
    actor_id = visits[0].actor_id if visits and stage.kind is StageKind.OPEN else None
    if stage.kind is not StageKind.OPEN:
        if first_open is None:
            raise RowsRefusedError(
                "stage", "The pipeline has no open stage to begin in.", fix="Add an open stage to the pipeline."
            )
        stage = first_open
    new = NewDeal(
        id=id,
        external_id=external_id,
        title=row.title or external_id,
        stage=stage,
        money=_first_value(history.amounts, at) or Money(row.amount_minor, row.currency or currency),
        relations=Relations(row.company_id, row.contact_id, row.source_id),
        owner_id=_first_value(history.owners, at) or row.owner_id,
        close_date=row.close_date,
    )
    begun = begin(new, at=at, actor_id=actor_id)
    told = backfill_known(begun.deal, row, history, learned_at=learned_at)
    _check_fields(told.change.deal, row.stage)
    return replace(told, change=begun.and_then(told.change))


def backfill_known(deal: Deal, row: DealRow | None, history: History, *, learned_at: datetime) -> Backfill:
    """Bring a deal to where the rows say: history takes its place, then the deal's own row says how it stands now.

    Raises:
        RowsRefusedError: a history row lies before the deal's creation, or where the deal was closed; the row
            contradicts the history; it closes at no known time.
    """
    for visit in history.stages:
        if visit.at < deal.created_at:
            raise RowsRefusedError(
                "entered_at",
                f"The moment lies before the deal's creation ({deal.created_at:%Y-%m-%d %H:%M} UTC).",
                fix="Check the date, or leave the row out.",
                line=visit.line,
            )
        if _is_at_closing(deal, visit):
            raise RowsRefusedError(
                "entered_at",
                "At this very moment the deal was closed.",
                fix="Give the time of day too, or leave the row out.",
                line=visit.line,
            )
    _check_amounts(deal, row, history)
    reason = row.lost_reason_id if row is not None and row.stage.kind is StageKind.LOST else None
    change = learn(
        deal,
        stages=history.stages,
        owners=_since(history.owners, deal.created_at),
        amounts=_since(history.amounts, deal.created_at),
        lost_reason_id=reason,
        is_retold=True,
    )
    repeated = _lines(history) - {fact.line for fact in change.facts}
    if row is not None:
        if history.stages:
            _check_agreement(row, change.deal, history)
        change = change.and_then(_enter_stage(change.deal, row, lost_reason_id=reason, learned_at=learned_at))
        at = max(learned_at, change.deal.last_occurred_at)
        change = change.and_then(update(change.deal, _fields(row, change.deal), at=at))
        if change.deal.stage != deal.stage:
            _check_fields(change.deal, row.stage)
    return Backfill(change, frozenset(repeated))


def _check_fields(deal: Deal, stage: StageRef) -> None:
    """A row brings a deal into no stage that asks for more than it has; history is as it was."""
    missing = deal.missing(stage.entry_fields) if deal.stage == stage else []
    if missing:
        raise RowsRefusedError(
            "stage",
            f"The stage asks for {', '.join(missing)}, which the deal does not have.",
            fix="Fill them in, or give the stage in which the deal may be without.",
        )


def _check_amounts(deal: Deal, row: DealRow | None, history: History) -> None:
    """A deal with lines is worth their sum, whatever a file says."""
    if not deal.has_lines:
        return
    said = row.amount_minor if row is not None else None
    if history.amounts or said not in (None, deal.amounts.last.amount_minor):
        raise RowsRefusedError(
            "amount",
            "The deal has line items here: its amount is their sum.",
            fix="Leave the amount out, or take the deal's lines out first.",
            line=history.amounts[0].line if history.amounts else None,
        )


def _is_at_closing(deal: Deal, visit: Entry[StageRef]) -> bool:
    """Whether an open stage would be entered at the instant of an entry that closed the deal, and so reopen it."""
    at_once = [entry.value for entry in deal.stages.entries if entry.at == visit.at]
    is_new = visit.value.kind is StageKind.OPEN and visit.value not in at_once
    return is_new and any(stage.kind is not StageKind.OPEN for stage in at_once)


def _check_agreement(row: DealRow, deal: Deal, history: History) -> None:
    """A row and its history tell of one deal: nothing is made up to have both right."""
    if row.created_at is not None and min(visit.at for visit in history.stages) < row.created_at - _LEEWAY:
        raise RowsRefusedError(
            "created_at", "The stage history begins before the deal was created.", fix="Correct one of them."
        )
    is_later = row.closed_at is not None and row.closed_at > deal.stages.entries[-1].at - _LEEWAY
    closes = row.stage.kind is not StageKind.OPEN and deal.is_open and is_later
    if row.stage != deal.stage and not closes and not row.stage.is_retired:
        raise RowsRefusedError(
            "stage",
            "This is not the stage in which the history of the deal ends.",
            fix="Correct the stage, or add the missing row to the history.",
        )
    said = row.closed_at if row.is_closing_said else None
    if said is not None and deal.closed_at is not None and abs(deal.closed_at - said) > _LEEWAY:
        raise RowsRefusedError(
            "closed_at",
            f"The history closes the deal at another time ({deal.closed_at:%Y-%m-%d %H:%M} UTC).",
            fix="Correct one of them.",
        )


def _creation(row: DealRow, history: History, *, learned_at: datetime) -> datetime:
    """The earliest instant that speaks of the deal in a stage; an owner may well have been chosen before."""
    instants = [visit.at for visit in history.stages]
    instants += [row.created_at] if row.created_at else []
    if not instants and row.stage.kind is not StageKind.OPEN:
        instants.append(_closing(row, learned_at=learned_at))
    instants = instants or [one.at for one in history.owners] + [one.at for one in history.amounts]
    return min(instants, default=learned_at)


def _closing(row: DealRow, *, learned_at: datetime) -> datetime:
    if row.closed_at is None:
        raise RowsRefusedError(
            "closed_at",
            "The deal is closed, but nothing says when.",
            fix="Give closed_at or close_date, or its stage history.",
        )
    return min(row.closed_at, learned_at)


def _enter_stage(deal: Deal, row: DealRow, *, lost_reason_id: UUID | None, learned_at: datetime) -> Change:
    """Where the row's stage is not where the path ends, the deal moved since: when it closed, or at the latest now."""
    if row.stage == deal.stage or row.stage.is_retired:
        # nothing enters a retired stage: a file that still names it was written before
        return Change(deal)
    is_dated = row.stage.kind is not StageKind.OPEN and row.closed_at is not None
    at = _closing(row, learned_at=learned_at) if is_dated else learned_at
    entry = Entry(max(at, deal.stages.entries[-1].at), row.stage)
    return learn(deal, stages=[entry], lost_reason_id=lost_reason_id)


def _fields(row: DealRow, deal: Deal) -> dict[str, Any]:
    """What the row says of fields without a history of its own. An empty cell leaves what is known."""
    names = ("title", "company_id", "contact_id", "source_id", "owner_id", "close_date", "amount_minor")
    said = {name: value for name in names if (value := getattr(row, name)) is not None}
    if "amount_minor" in said:
        said["currency"] = row.currency or deal.amounts.last.currency
    return said


def _first_value(entries: Sequence[Entry[V]], created_at: datetime) -> V | None:
    """The value that held at the creation; where the rows begin later, the first of them."""
    ordered = sorted(entries, key=lambda entry: entry.at)
    before = [entry for entry in ordered if entry.at <= created_at]
    chosen = before[-1:] or ordered[:1]
    return chosen[0].value if chosen else None


def _since(entries: Sequence[Entry[V]], created_at: datetime) -> list[Entry[V]]:
    """Of the rows before the creation only the last counts: its value held at the creation."""
    before = sorted((entry for entry in entries if entry.at < created_at), key=lambda entry: entry.at)
    return [replace(one, at=created_at) for one in before[-1:]] + [one for one in entries if one.at >= created_at]


def _lines(history: History) -> set[int]:
    lines = [one.line for one in history.stages]
    lines += [one.line for one in history.owners]
    lines += [one.line for one in history.amounts]
    return {line for line in lines if line is not None}
