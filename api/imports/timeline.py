"""From a deal's rows to its events: pure rules, no database.

A path is ordered by (occurred_at, aggregate_version); rows of one instant keep the file's order. Staying in a stage is
no entry. Stage kinds decide what an entry is: into a won or lost stage it closes the deal, out of one into an open
stage it reopens it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from api.imports.deal_shapes import DealRow, DealState, Entry, Fact, History, Money, StageRef
from api.imports.track import Node, Track
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
from contracts.stages import Outcome, StageKind

V = TypeVar("V")


@dataclass
class Tracks:
    """What is known of a deal's stages, owners and amounts over time."""

    stages: Track[StageRef]
    owners: Track[UUID | None]
    amounts: Track[Money]


@dataclass
class Outline:
    """What becomes of a deal: its events in order, how it stands after them, which history rows said nothing new."""

    facts: list[Fact]
    state: DealState
    repeated: set[int] = field(default_factory=set)


class RefusedDealError(ValueError):
    """A deal whose rows make no path: names the column, what is wrong, and what to do. `line` is a history row's."""

    def __init__(self, column: str, problem: str, *, fix: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.column, self.problem, self.fix, self.line = column, problem, fix, line


def outline_new(
    row: DealRow,
    history: History,
    *,
    external_id: str,
    first_open: StageRef | None,
    currency: str,
    learned_at: datetime,
) -> Outline:
    """Events of a deal that is not known yet. `first_open` is the first open stage of its pipeline.

    Raises:
        RefusedDealError: it closes at no known time, or must be opened in a pipeline without an open stage.
    """
    if row.stage is None:
        raise RefusedDealError("stage", "The deal has no stage.", fix="Give it one.")
    visits = sorted(history.visits, key=lambda visit: visit.at)
    created_at = _creation(row, history, learned_at=learned_at)
    opening = visits[0].value if visits else row.stage
    if opening.kind is not StageKind.OPEN:
        if first_open is None:
            raise RefusedDealError(
                "stage", "The pipeline has no open stage to begin in.", fix="Add an open stage to the pipeline."
            )
        opening = first_open
    money = (row.amount_minor, row.currency or currency)
    state = DealState(
        title=row.title or external_id,
        pipeline_id=opening.pipeline_id,
        stage=opening,
        stage_entered_at=created_at,
        last_occurred_at=created_at,
        created_at=created_at,
        money=_first_value(history.revaluations, created_at) or money,
        owner_id=_first_value(history.handovers, created_at) or row.owner_id,
        company_id=row.company_id,
        contact_id=row.contact_id,
        source_id=row.source_id,
        close_date=row.close_date,
        lost_reason_id=None,
    )
    tracks = Tracks(
        Track.of([(created_at, opening)]),
        Track.of([(created_at, state.owner_id)]),
        Track.of([(created_at, state.money)]),
    )
    actor_id = visits[0].actor_id if visits and visits[0].value is opening else None
    if not visits and row.stage.kind is not StageKind.OPEN:
        tracks.stages.add(max(_closing(row, learned_at=learned_at), created_at), row.stage)
    outline = _with_rows(row, history, state=state, tracks=tracks, learned_at=learned_at)
    outline.facts.insert(0, Fact(_created(state), created_at, actor_id))
    return outline


def outline_known(
    row: DealRow | None, history: History, *, state: DealState, tracks: Tracks, learned_at: datetime
) -> Outline:
    """Events that bring a known deal to where the rows say; none where they say nothing new.

    History rows that the log lacks become backdated events; the deal's own row then tells how it stands now.

    Raises:
        RefusedDealError: a history row lies before the deal's creation.
    """
    outline = _with_rows(row, history, state=state, tracks=tracks, learned_at=learned_at)
    if row is not None:
        _update_fields(outline, row, learned_at=learned_at)
    return outline


def _creation(row: DealRow, history: History, *, learned_at: datetime) -> datetime:
    """The earliest instant that speaks of the deal in a stage; an owner may well have been chosen before."""
    instants = [visit.at for visit in history.visits]
    instants += [row.created_at] if row.created_at else []
    if not instants and row.stage is not None and row.stage.kind is not StageKind.OPEN:
        instants.append(_closing(row, learned_at=learned_at))
    instants = instants or [one.at for one in history.handovers] + [one.at for one in history.revaluations]
    return min(instants, default=learned_at)


def _closing(row: DealRow, *, learned_at: datetime) -> datetime:
    if row.closed_at is None:
        raise RefusedDealError(
            "closed_at",
            "The deal is closed, but nothing says when.",
            fix="Give closed_at or close_date, or its stage history.",
        )
    return min(row.closed_at, learned_at)


def _first_value(entries: Sequence[Entry[V]], created_at: datetime) -> V | None:
    """The value that held at the creation; where the rows begin later, the first of them."""
    ordered = sorted(entries, key=lambda entry: entry.at)
    before = [entry for entry in ordered if entry.at <= created_at]
    chosen = before[-1:] or ordered[:1]
    return chosen[0].value if chosen else None


def _with_rows(
    row: DealRow | None, history: History, *, state: DealState, tracks: Tracks, learned_at: datetime
) -> Outline:
    """Merge the rows of history into what is known, then let the deal's own row say how it stands now."""
    outline = Outline([], state)
    for visit in history.visits:
        if visit.at < state.created_at:
            raise RefusedDealError(
                "entered_at",
                f"The moment lies before the deal's creation ({state.created_at:%Y-%m-%d %H:%M} UTC).",
                fix="Check the date, or leave the row out.",
                line=visit.line,
            )
    outline.repeated |= _merge(tracks.stages, history.visits)
    outline.repeated |= _merge(tracks.owners, _since(history.handovers, state.created_at, outline.repeated))
    outline.repeated |= _merge(tracks.amounts, _since(history.revaluations, state.created_at, outline.repeated))
    if row is not None:
        _catch_up(tracks, row, learned_at=learned_at)
    lost_reason_id = row.lost_reason_id if row else None
    facts = _stage_facts(tracks.stages, lost_reason_id)
    facts += _facts(tracks.owners, lambda owner_id: DealOwnerChanged(owner_id=owner_id))
    facts += _facts(tracks.amounts, lambda money: DealAmountChanged(amount_minor=money[0], currency=money[1]))
    outline.facts = sorted(facts, key=lambda fact: fact.occurred_at)
    outline.state = _standing(state, tracks, facts=outline.facts, lost_reason_id=lost_reason_id)
    return outline


def _merge(track: Track[V], entries: Sequence[Entry[V]]) -> set[int]:
    """Add what the track lacks; answers the lines that said nothing new."""
    repeated: set[int] = set()
    for entry in sorted(entries, key=lambda one: one.at):
        if track.value_at(entry.at) == entry.value or track.has(entry.at, entry.value):
            repeated.add(entry.line)
        else:
            track.add(entry.at, entry.value, actor_id=entry.actor_id)
    return repeated


def _since(entries: Sequence[Entry[V]], created_at: datetime, repeated: set[int]) -> list[Entry[V]]:
    """Of the rows before the creation only the last counts: its value held at the creation."""
    before = sorted((entry for entry in entries if entry.at < created_at), key=lambda entry: entry.at)
    repeated |= {entry.line for entry in before[:-1]}
    return [replace(entry, at=created_at) for entry in before[-1:]] + [e for e in entries if e.at >= created_at]


def _catch_up(tracks: Tracks, row: DealRow, *, learned_at: datetime) -> None:
    """Where the row's stage, owner or amount is not where the tracks end, it changed since: at the latest now."""
    last = tracks.stages.last
    if row.stage is not None and row.stage != last.value:
        is_dated = row.stage.kind is not StageKind.OPEN and row.closed_at is not None
        at = _closing(row, learned_at=learned_at) if is_dated else learned_at
        tracks.stages.add(max(at, last.at), row.stage)
    if row.owner_id is not None and row.owner_id != tracks.owners.last.value:
        tracks.owners.add(max(learned_at, tracks.owners.last.at), row.owner_id)
    if row.amount_minor is not None:
        known = tracks.amounts.last
        money = (row.amount_minor, row.currency or known.value[1])
        if money != known.value:
            tracks.amounts.add(max(learned_at, known.at), money)


def _stage_facts(track: Track[StageRef], lost_reason_id: UUID | None) -> list[Fact]:
    facts = []
    for before, node in track.steps():
        if node.is_new:
            reason = lost_reason_id if node is track.last else None
            facts.append(Fact(_entered(before.value, node.value, reason), node.at, node.actor_id))
    return facts


def _facts(track: Track[V], event_of: Callable[[V], Event]) -> list[Fact]:
    return [Fact(event_of(node.value), node.at, node.actor_id) for _, node in track.steps() if node.is_new]


def _entered(before: StageRef, to: StageRef, lost_reason_id: UUID | None) -> Event:
    stages = {"pipeline_id": to.pipeline_id, "from_stage_id": before.id, "to_stage_id": to.id}
    if to.kind is not StageKind.OPEN:
        is_lost = to.kind is StageKind.LOST
        outcome = Outcome.LOST if is_lost else Outcome.WON
        return DealClosed(**stages, outcome=outcome, lost_reason_id=lost_reason_id if is_lost else None)
    return DealStageChanged(**stages) if before.kind is StageKind.OPEN else DealReopened(**stages)


def _standing(state: DealState, tracks: Tracks, *, facts: Sequence[Fact], lost_reason_id: UUID | None) -> DealState:
    last: Node[StageRef] = tracks.stages.last
    reason = lost_reason_id if last.is_new else state.lost_reason_id
    return replace(
        state,
        stage=last.value,
        stage_entered_at=last.at,
        last_occurred_at=max([state.last_occurred_at, *(fact.occurred_at for fact in facts)]),
        owner_id=tracks.owners.last.value,
        money=tracks.amounts.last.value,
        lost_reason_id=reason if last.value.kind is StageKind.LOST else None,
    )


def _created(state: DealState) -> DealCreated:
    return DealCreated(
        pipeline_id=state.pipeline_id,
        to_stage_id=state.stage.id,
        amount_minor=state.money[0],
        currency=state.money[1],
        owner_id=state.owner_id,
        company_id=state.company_id,
        contact_id=state.contact_id,
        source_id=state.source_id,
        close_date=state.close_date,
    )


def _update_fields(outline: Outline, row: DealRow, *, learned_at: datetime) -> None:
    """Fields without a history of their own. An empty cell leaves what is known."""
    state, at = outline.state, max(learned_at, outline.state.last_occurred_at)
    names = ("title", "company_id", "contact_id", "source_id")
    changes = {name: getattr(row, name) for name in names if getattr(row, name) not in (None, getattr(state, name))}
    if changes:
        state = replace(state, **changes)
        updated = DealUpdated(
            company_id=state.company_id,
            contact_id=state.contact_id,
            source_id=state.source_id,
            changed_fields=[name.removesuffix("_id") for name in changes],
        )
        outline.facts.append(Fact(updated, at))
    if row.close_date not in (None, state.close_date):
        state = replace(state, close_date=row.close_date)
        outline.facts.append(Fact(DealCloseDateChanged(close_date=row.close_date), at))
    outline.state = replace(
        state, last_occurred_at=max([state.last_occurred_at, *(f.occurred_at for f in outline.facts)])
    )
