"""Rules of deals. No I/O.

`learn` is the one rule of a deal's path and `update` the one of its other facts; requests and imports both end in them.
A request may ask for less than an import may know: that nothing is closed or reopened in the past, that a closed deal
stays where it is until it is reopened. Such guards stand in the commands around the two.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from api.deals.errors import (
    AmountIsOfLines,
    BackdatedClosing,
    DealIsClosed,
    DealIsOpen,
    DealWasClosed,
    FieldsMissing,
    OccurredBeforeCreation,
    OccurredInFuture,
    PipelineIsRetired,
    ReasonNeeded,
    StageNotOpen,
    StageOfOtherPipeline,
)
from api.deals.state import Deal, Money, Relations, StageRef
from api.deals.timeline import Entry, Step, Timeline
from api.kernel.custom import Custom
from api.pipelines.rules import StageIsRetired
from contracts.events.custom_fields import DealCustomChanged
from contracts.events.deals import (
    DealAmountChanged,
    DealClosed,
    DealCloseDateChanged,
    DealCreated,
    DealDeleted,
    DealOwnerChanged,
    DealReopened,
    DealRestored,
    DealStageChanged,
    DealUpdated,
)
from contracts.events.envelope import Event
from contracts.stages import Outcome, StageKind

T = TypeVar("T", Money, Relations)
V = TypeVar("V")

#: A caller's clock may run this far ahead of ours before an instant counts as lying in the future.
CLOCK_TOLERANCE = timedelta(minutes=2)


@dataclass(frozen=True)
class Fact:
    """An event and when it occurred; who did it, where that is not the teller; the line of the row that told it."""

    event: Event
    occurred_at: datetime
    actor_id: UUID | None = None
    line: int | None = None


@dataclass(frozen=True)
class Change:
    """A deal after a command, and the facts that made it so: none where it changed nothing."""

    deal: Deal
    facts: tuple[Fact, ...] = ()

    def and_then(self, change: "Change") -> "Change":
        """This change and one of its deal, as one."""
        return Change(change.deal, (*self.facts, *change.facts))


@dataclass(frozen=True, kw_only=True)
class NewDeal:
    """What a deal begins with."""

    id: UUID
    external_id: str | None
    title: str
    stage: StageRef
    money: Money
    relations: Relations
    owner_id: UUID | None
    close_date: date | None
    custom: Custom | None = None


def instant_of(
    occurred_at: datetime | None, *, now: datetime, created_at: datetime | None = None, latest: datetime | None = None
) -> datetime:
    """When a change happened: at the instant given, else now.

    One without an instant is never backdated, even where two clocks differ by more than the time between changes: it
    happened after `latest`.

    Raises:
        OccurredInFuture, OccurredBeforeCreation: it cannot have happened then.
    """
    if occurred_at is None or occurred_at >= now:
        if occurred_at is not None and occurred_at > now + CLOCK_TOLERANCE:
            raise OccurredInFuture(occurred_at)
        return max(now, latest) if latest else now
    if created_at is not None and occurred_at < created_at:
        raise OccurredBeforeCreation(occurred_at, created_at=created_at)
    return occurred_at


def begin(new: NewDeal, *, at: datetime, actor_id: UUID | None = None) -> Change:
    """A deal's first version."""
    deal = Deal(
        id=new.id,
        external_id=new.external_id,
        version=1,
        title=new.title,
        last_occurred_at=at,
        stages=Timeline.of([(at, new.stage)]),
        owners=Timeline.of([(at, new.owner_id)]),
        amounts=Timeline.of([(at, new.money)]),
        relations=Timeline.of([(at, new.relations)]),
        close_dates=Timeline.of([(at, new.close_date)]),
    )
    created = DealCreated(
        pipeline_id=new.stage.pipeline_id,
        to_stage_id=new.stage.id,
        owner_id=new.owner_id,
        close_date=new.close_date,
        **new.money._asdict(),
        **new.relations._asdict(),
    )
    change = Change(deal, (Fact(created, at, actor_id),))
    return change.and_then(fill_in(deal, new.custom, at=at)) if new.custom else change


def create(new: NewDeal, *, is_active: bool, occurred_at: datetime | None, now: datetime) -> Change:
    """A deal in an open stage of an active pipeline.

    Raises:
        PipelineIsRetired, StageIsRetired, StageNotOpen: no deal can begin there.
        OccurredInFuture: it cannot have begun then.
    """
    if not is_active:
        raise PipelineIsRetired
    if new.stage.is_retired:
        raise StageIsRetired
    if new.stage.kind is not StageKind.OPEN:
        raise StageNotOpen
    return begin(new, at=instant_of(occurred_at, now=now))


def learn(
    deal: Deal,
    *,
    stages: Iterable[Entry[StageRef]] = (),
    owners: Iterable[Entry[UUID | None]] = (),
    amounts: Iterable[Entry[Money]] = (),
    lost_reason_id: UUID | None = None,
    is_retold: bool = False,
) -> Change:
    """What a deal is after one learned where it stood, whose it was and what it was worth, and when.

    Entries take their place among those known, whatever the order of learning. Staying in a stage is no entry. Stage
    kinds decide what an entry is: one that changes the outcome closes the deal or reopens it, any other moves it. The
    reason is that of the loss in which the deal stands, where this is what tells of it.
    """
    stage_line, moves = deal.stages.learn(stages, is_retold=is_retold)
    owner_line, handovers = deal.owners.learn(owners, is_retold=is_retold)
    amount_line, revaluations = deal.amounts.learn(amounts, is_retold=is_retold)
    after = replace(deal, stages=stage_line, owners=owner_line, amounts=amount_line)
    loss = after.closing if after.stage.kind is StageKind.LOST else None
    reason = deal.lost_reason_id if loss and deal.closing and loss.at <= deal.closing.at else None
    if any(move.entry is loss for move in moves):
        reason = lost_reason_id or reason
    facts = [_told(_entered(move, reason if move.entry is loss else None), move.entry) for move in moves]
    facts += [_told(DealOwnerChanged(owner_id=entry.value), entry) for _, entry in handovers]
    facts += [_told(DealAmountChanged(**entry.value._asdict()), entry) for _, entry in revaluations]
    return with_facts(replace(after, lost_reason_id=reason), sorted(facts, key=lambda fact: fact.occurred_at))


def update(deal: Deal, changes: Mapping[str, Any], *, at: datetime, is_retagged: bool = False) -> Change:
    """Facts that were so from an instant on: one event for each kind of fact that really changes.

    A change behind newer facts takes its place among them, and the newest of each kind stays the present one. The title
    has no history and changes at once. `changes` names fields of a deal; those left out stay.

    Raises:
        AmountIsOfLines: the deal has lines, and its amount or currency would be another.
    """
    relations_then, money_then = deal.relations.at(at), deal.amounts.at(at)
    relations, money = _with(relations_then, changes), _with(money_then, changes)
    changed = [name for name in Relations._fields if getattr(relations, name) != getattr(relations_then, name)]
    title = changes.get("title", deal.title)
    events: list[Event] = []
    names = [*changed, *(["title"] if title != deal.title else []), *(["tags"] if is_retagged else [])]
    if names:
        events.append(DealUpdated(**relations._asdict(), changed_fields=names))
    if money != money_then:
        if deal.has_lines:
            raise AmountIsOfLines
        events.append(DealAmountChanged(**money._asdict()))
    owner_id = changes.get("owner_id", deal.owners.at(at))
    if owner_id != deal.owners.at(at):
        events.append(DealOwnerChanged(owner_id=owner_id))
    close_date = changes.get("close_date", deal.close_dates.at(at))
    if close_date != deal.close_dates.at(at):
        events.append(DealCloseDateChanged(close_date=close_date))
    if not events:
        return Change(deal)
    after = replace(
        deal,
        title=title,
        relations=_then(deal.relations, at, relations),
        amounts=_then(deal.amounts, at, money),
        owners=_then(deal.owners, at, owner_id),
        close_dates=_then(deal.close_dates, at, close_date),
    )
    return with_facts(after, [Fact(event, at) for event in events])


def fill_in(deal: Deal, custom: Custom, *, at: datetime) -> Change:
    """Other values of its custom fields. Like the title they change at once."""
    if not custom.changed:
        return Change(deal)
    event = DealCustomChanged.model_validate(custom.facts())
    return with_facts(replace(deal, custom=custom.values), [Fact(event, at)])


def move(deal: Deal, stage: StageRef, *, has_reason: bool, lost_reason_id: UUID | None, at: datetime) -> Change:
    """To another stage, which is a win or a loss where its kind says so. To where it is or was then, nothing changes.

    Only open stages can be entered behind newer entries, and only while the deal was open.

    Raises:
        StageOfOtherPipeline, StageIsRetired, ReasonNeeded, BackdatedClosing, DealWasClosed, DealIsClosed: as they say.
    """
    _check_stage(deal, stage)
    if has_reason != (stage.kind is StageKind.LOST):
        raise ReasonNeeded(stage.kind)
    if at < deal.stage_entered_at:
        if stage.kind is not StageKind.OPEN:
            raise BackdatedClosing(deal.stage_entered_at)
        if deal.stages.at(at).kind is not StageKind.OPEN:
            raise DealWasClosed(at)
    elif stage != deal.stage and not deal.is_open and not stage.kind is deal.stage.kind is StageKind.WON:
        raise DealIsClosed(deal.stage.kind)
    return learn(deal, stages=[Entry(at, stage)], lost_reason_id=lost_reason_id)


def close(deal: Deal, stage: StageRef | None, *, lost_reason_id: UUID | None, at: datetime) -> Change:
    """Win or lose, in the pipeline's first stage of that kind, if it has one.

    Raises:
        BackdatedClosing, DealIsClosed, StageIsRetired: as they say.
    """
    _check_after_entries(deal, at)
    if not deal.is_open:
        raise DealIsClosed(deal.stage.kind)
    if stage is None:
        raise StageIsRetired
    return learn(deal, stages=[Entry(at, stage)], lost_reason_id=lost_reason_id)


def reopen(deal: Deal, *, asked: StageRef | None, open_stages: Sequence[StageRef], at: datetime) -> Change:
    """In the stage asked for, else in the one it was closed from, else in the first of the pipeline's open ones.

    Raises:
        DealIsOpen, BackdatedClosing, StageOfOtherPipeline, StageIsRetired, StageNotOpen: as they say.
    """
    if deal.is_open:
        raise DealIsOpen
    _check_after_entries(deal, at)
    if asked is not None:
        _check_stage(deal, asked)
        if asked.kind is not StageKind.OPEN:
            raise StageNotOpen
        return learn(deal, stages=[Entry(at, asked)])
    last_open = next((one.value for one in reversed(deal.visits) if one.value.kind is StageKind.OPEN), None)
    if last_open is not None and last_open in open_stages:
        return learn(deal, stages=[Entry(at, open_stages[open_stages.index(last_open)])])
    if not open_stages:
        raise StageIsRetired
    return learn(deal, stages=[Entry(at, open_stages[0])])


def delete(deal: Deal, *, now: datetime) -> Change:
    """Gone from every list; reports as of earlier instants still know it."""
    at = max(now, deal.last_occurred_at)
    return with_facts(replace(deal, deleted_at=now), [Fact(DealDeleted(), at)])


def restore(deal: Deal, custom: Custom | None, *, now: datetime) -> Change:
    """A deleted deal is there again, as it was. `custom` tells its custom values anew, where there are any."""
    at = max(now, deal.last_occurred_at)
    change = with_facts(replace(deal, deleted_at=None), [Fact(DealRestored(), at)])
    if custom is None or not custom.shared:
        return change
    return change.and_then(with_facts(change.deal, [Fact(DealCustomChanged.model_validate(custom.facts()), at)]))


def check_fields(deal: Deal, stage: StageRef, *, exit_fields: Sequence[str]) -> None:
    """Whether a deal has what its stage asks of those that leave, and the next one of those that enter.

    A loss needs nothing of the stage that it leaves: what is lost need not be complete.

    Raises:
        FieldsMissing: names what it lacks.
    """
    if stage == deal.stage:
        return
    leaving = deal.missing(exit_fields) if stage.kind is not StageKind.LOST else []
    entering = deal.missing(stage.entry_fields)
    if leaving or entering:
        raise FieldsMissing(leaving, entering)


def _check_stage(deal: Deal, stage: StageRef) -> None:
    if stage.pipeline_id != deal.stage.pipeline_id:
        raise StageOfOtherPipeline
    if stage.is_retired:
        raise StageIsRetired


def _check_after_entries(deal: Deal, at: datetime) -> None:
    if at < deal.stage_entered_at:
        raise BackdatedClosing(deal.stage_entered_at)


def with_facts(deal: Deal, facts: Sequence[Fact]) -> Change:
    """A deal after these facts: its version and latest instant go with them."""
    latest = max([deal.last_occurred_at, *(fact.occurred_at for fact in facts)])
    return Change(replace(deal, version=deal.version + len(facts), last_occurred_at=latest), tuple(facts))


def _with(state: T, changes: Mapping[str, Any]) -> T:
    return state._replace(**{name: changes[name] for name in state._fields if name in changes})


def _then(line: Timeline[V], at: datetime, value: V) -> Timeline[V]:
    return line.learn([Entry(at, value)])[0]


def _told(event: Event, entry: Entry[V]) -> Fact:
    return Fact(event, entry.at, entry.actor_id, entry.line)


def _entered(step: Step[StageRef], lost_reason_id: UUID | None) -> Event:
    before, to = step.before, step.entry.value
    stages = {"pipeline_id": to.pipeline_id, "from_stage_id": before.id, "to_stage_id": to.id}
    if to.kind is not StageKind.OPEN:
        return DealClosed(**stages, outcome=Outcome(to.kind), lost_reason_id=lost_reason_id)
    return DealStageChanged(**stages) if before.kind is StageKind.OPEN else DealReopened(**stages)
