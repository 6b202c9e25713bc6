"""The funnel counted by hand: loops over the visits of each deal, read from its events. Knows no SQL and no mart."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from statistics import quantiles
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.event_history import AnyEvent, Pipeline, Stage, is_gone


@dataclass
class Visit:
    """A stay in a stage."""

    stage: Stage
    entered_at: datetime
    left_at: datetime | None = None
    lost_reason_id: UUID | None = None


@dataclass
class History:
    """What is known of one deal at an instant."""

    deal_id: UUID
    created_at: datetime
    visits: list[Visit] = field(default_factory=list)
    facts: list[AnyEvent] = field(default_factory=list)

    def value_at(self, name: str, instant: datetime) -> Any:
        found = None
        for fact in self.facts:
            if fact.occurred_at <= instant and hasattr(_data(fact), name):
                found = getattr(_data(fact), name)
        return found


def _data(event: AnyEvent) -> Any:
    return event.data


def histories(events: Iterable[AnyEvent], pipeline: Pipeline, *, as_of: datetime) -> list[History]:
    """Deals of the pipeline that exist at `as_of`, as known then."""
    stages = {stage.id: stage for stage in pipeline.stages}
    by_deal: dict[UUID, list[AnyEvent]] = defaultdict(list)
    for event in events:
        if event.aggregate_type == "deal" and event.recorded_at <= as_of:
            by_deal[event.aggregate_id].append(event)
    found = []
    for deal_id, facts in by_deal.items():
        facts.sort(key=lambda fact: (fact.occurred_at, fact.aggregate_version))
        created = next(fact for fact in facts if fact.type == "deal.created")
        if _data(created).pipeline_id != pipeline.id or is_gone(facts):
            continue
        history = History(deal_id, created.occurred_at, facts=facts)
        for fact in facts:
            stage_id = getattr(_data(fact), "to_stage_id", None)
            if stage_id is None or (history.visits and history.visits[-1].stage.id == stage_id):
                continue
            if history.visits:
                history.visits[-1].left_at = fact.occurred_at
            reason = getattr(_data(fact), "lost_reason_id", None)
            history.visits.append(Visit(stages[stage_id], fact.occurred_at, None, reason))
        found.append(history)
    return found


@dataclass
class Membership:
    """Who was in which team when."""

    user_id: UUID
    team_id: UUID
    since: datetime
    until: datetime | None


@dataclass
class Counted:
    """What one deal adds to the funnel."""

    history: History
    group: str | None
    amount_minor: int | None
    currency: str | None
    stages: dict[str, set[UUID]]
    days: dict[UUID, float]
    lost_reason_id: UUID | None = None


@dataclass(frozen=True)
class Asked:
    """The parameters, as Python values."""

    starts_at: datetime
    ends_at: datetime
    zone: ZoneInfo
    cohort: str
    order: str
    regress: str
    window_days: int | None
    group_by: str


def count(
    found: Iterable[History], pipeline: Pipeline, asked: Asked, *, memberships: Iterable[Membership]
) -> list[Counted]:
    """Every deal of the cohort with the stages at which it counts."""
    counted = []
    for history in found:
        at = _entered_cohort(history, asked)
        if at is None or not asked.starts_at <= at < asked.ends_at:
            continue
        visits = _as_it_stood(history.visits, at, asked.window_days)
        counted.append(
            Counted(
                history,
                _group(history, at, asked, memberships),
                history.value_at("amount_minor", at),
                history.value_at("currency", at),
                _stages(visits, pipeline, asked),
                _days(visits),
                _turn(visits).lost_reason_id if visits and visits[-1].left_at is None else None,
            )
        )
    return counted


def _as_it_stood(visits: list[Visit], at: datetime, window_days: int | None) -> list[Visit]:
    """The visits so many days after `at`: what came later does not exist yet."""
    if window_days is None:
        return visits
    end = at + timedelta(days=window_days)
    return [
        replace(visit, left_at=visit.left_at if visit.left_at and visit.left_at <= end else None)
        for visit in visits
        if visit.entered_at <= end
    ]


def _entered_cohort(history: History, asked: Asked) -> datetime | None:
    if asked.cohort == "created":
        return history.created_at
    if asked.cohort == "closed":
        turn = _turn(history.visits)
        return None if turn.stage.kind == "open" else turn.entered_at
    stage_id = asked.cohort.removeprefix("entered:")
    return next((visit.entered_at for visit in history.visits if str(visit.stage.id) == stage_id), None)


def _turn(visits: list[Visit]) -> Visit:
    """The visit since which the deal is open, won or lost."""
    *_, first = takewhile(lambda visit: visit.stage.kind == visits[-1].stage.kind, reversed(visits))
    return first


def _group(history: History, at: datetime, asked: Asked, memberships: Iterable[Membership]) -> str | None:
    if asked.group_by == "month":
        return at.astimezone(asked.zone).strftime("%Y-%m")
    owner = history.value_at("owner_id", at)
    if asked.group_by == "owner":
        return str(owner) if owner else None
    if asked.group_by == "source":
        source = history.value_at("source_id", at)
        return str(source) if source else None
    if asked.group_by == "team":
        for each in memberships:
            if each.user_id == owner and each.since <= at and (each.until is None or each.until > at):
                return str(each.team_id)
    return None


def _stages(visits: list[Visit], pipeline: Pipeline, asked: Asked) -> dict[str, set[UUID]]:
    seen = {visit.stage.id for visit in visits}
    progress = [visit.stage for visit in visits if visit.stage.kind != "lost"]
    present = progress[-1] if progress else None
    entered = set()
    for stage in pipeline.stages:
        if asked.order == "reached":
            counts = any(_has_passed(reached, stage) for reached in progress) or stage.id in seen
        elif asked.order == "visited" or stage.kind == "lost":
            counts = stage.id in seen
        else:
            is_won = stage.kind == "won"
            before = [each for each in pipeline.stages if each.kind == "open"]
            path = [*(each for each in before if is_won or each.position < stage.position), stage]
            counts = _in_order([visit.stage.id for visit in visits], [each.id for each in path])
        if counts and asked.regress == "current":
            counts = _stands_at_or_after(visits, present, stage)
        if counts:
            entered.add(stage.id)
    last = visits[-1] if visits else None
    stands = last is not None and last.left_at is None
    return {
        "entered": entered,
        "visited": seen,
        "still_here": {last.stage.id} if last and stands and last.stage.kind == "open" else set(),
        "lost": {(present or last.stage).id} if last and stands and last.stage.kind == "lost" else set(),
        "won": {last.stage.id} if last and stands and last.stage.kind == "won" else set(),
        "moved_back": {
            one.stage.id
            for one, other in pairwise(visits)
            if one.stage.kind != "lost" and other.stage.kind == "open" and _is_earlier(other.stage, one.stage)
        },
    }


def _is_earlier(one: Stage, other: Stage) -> bool:
    return other.kind == "won" or one.position < other.position


def _has_passed(reached: Stage, stage: Stage) -> bool:
    if stage.kind != "open":
        return reached.id == stage.id
    return reached.kind == "won" or reached.position >= stage.position


def _stands_at_or_after(visits: list[Visit], present: Stage | None, stage: Stage) -> bool:
    if stage.kind == "lost":
        return visits[-1].stage.id == stage.id
    return present is not None and _has_passed(present, stage)


def _in_order(seen: list[UUID], path: list[UUID]) -> bool:
    remaining = iter(seen)
    return all(any(visited == wanted for visited in remaining) for wanted in path)


def _days(visits: list[Visit]) -> dict[UUID, float]:
    found: dict[UUID, float] = {}
    for stage_id in {visit.stage.id for visit in visits}:
        stays = [visit for visit in visits if visit.stage.id == stage_id]
        if all(visit.left_at is not None for visit in stays):
            spent = sum(((visit.left_at - visit.entered_at) for visit in stays if visit.left_at), timedelta())
            found[stage_id] = spent / timedelta(days=1)
    return found


def percentile(values: list[float], share: float) -> float | None:
    """Interpolated percentile."""
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]
