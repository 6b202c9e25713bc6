"""The rules of all organizations at work: which events concern them and what they do then; and what by the clock."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.db.statements import Statement
from api.edge.consumer import Glimpse, acting_in
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.unit_of_work import UnitOfWork
from api.rules import records
from api.rules.document import Figure, OnNoActivity, OnSchedule, OnTimeInStage
from api.rules.facts import Fact, Subject
from api.rules.figures import digest_of
from api.rules.firing import fire
from api.rules.matching import SCORED, Due, Rulebook, RuleVersion, due_of, slot_due, slots, subject_of, version_at
from contracts.events.envelope import ActorKind, Envelope, Event

_PAGE = 200
#: What a look at a silent deal found is believed for so long; and a slot that was missed is made up for.
_BELIEVED = timedelta(minutes=10)
_MADE_UP = timedelta(hours=1)

#: A figure is asked for again after so long.
_LOOKED_AT_EVERY = timedelta(minutes=10)

Place = tuple[str, UUID]
#: What a figure is in an organization; None where that cannot be told.
Ask = Callable[[UUID, Figure, datetime], float | None]


@dataclass
class Automaton:
    """What the worker keeps between events: rulebooks, and when to look again at what time may bring about."""

    database: Database
    ask: Ask = lambda *_: None
    _books: dict[UUID, tuple[Any, Rulebook]] = field(default_factory=dict)
    _look_again: dict[tuple[UUID, int, UUID], datetime] = field(default_factory=dict)
    _slots_done: set[tuple[UUID, datetime]] = field(default_factory=set)

    async def glance(self, events: Sequence[Glimpse]) -> Collection[UUID]:
        """The events of which some rule waits for the type."""
        found: set[UUID] = set()
        ordered = sorted(events, key=lambda event: str(event.organization_id))
        for organization_id, some in groupby(ordered, key=lambda event: event.organization_id):
            async with self.inside(organization_id) as unit:
                book = await self.book(unit, organization_id)
            found |= {one.id for one in some if book.waiting_for(one.type, one.occurred_at)}
        return found

    async def concerns(self, events: Sequence[Envelope[Event]]) -> Collection[UUID]:
        """The events that set a rule off: many are looked at together, few are then handled one by one."""
        found: set[UUID] = set()
        ordered = sorted(events, key=lambda event: str(event.organization_id))
        for organization_id, some in groupby(ordered, key=lambda event: event.organization_id):
            async with self.inside(organization_id) as unit:
                book = await self.book(unit, organization_id)
                facts = {one.id: as_fact(one) for one in some if book.waiting_for(one.type, one.occurred_at)}
                subjects = {_subject_of(fact) for fact in facts.values()}
                for subject, history in await _histories(unit, subjects):
                    for fact in history:
                        subject.learn(fact)
                        if fact.id in facts and (book.set_off(fact, subject) or book.put_off(fact, subject)):
                            found.add(fact.id)
        return found

    async def handle(self, unit: UnitOfWork, event: Envelope[Event]) -> None:
        """Let the rules that an event sets off act."""
        book = await self.book(unit, event.organization_id)
        for subject, history in await _histories(unit, {_subject_of(as_fact(event))}):
            place = next((number for number, fact in enumerate(history) if fact.id == event.id), None)
            if place is None:
                return
            for fact in history[: place + 1]:
                subject.learn(fact)
            for rule, due_at in book.put_off(history[place], subject):
                records.wait(unit, rule.rule_id, (subject.type, subject.id), event_id=event.id, due_at=due_at)
            for firing in book.set_off(history[place], subject):
                await fire(unit, firing, later=history[place + 1 :])

    async def tick(self, organization_id: UUID) -> int:
        """Let time set rules off in an organization; how often it did."""
        async with self.inside(organization_id) as unit:
            now, book = unit.now, await self.book(unit, organization_id)
        book = await self._look_at_figures(organization_id, book, now)
        fired = await self._come_after(organization_id, book)
        for rule in book.timed(now):
            if rule.document.waits:
                continue
            if isinstance(rule.document.trigger, OnSchedule):
                fired += await self._come_round(organization_id, book, rule, now)
            else:
                fired += await self._come_due(organization_id, book, rule, now)
        return fired

    async def book(self, unit: UnitOfWork, organization_id: UUID) -> Rulebook:
        """The organization's rulebook as it is now."""
        [edition] = await unit.fetch(records.EDITION)
        known = self._books.get(organization_id)
        if known is not None and known[0] == edition:
            return known[1]
        book = await records.load_book(unit)
        self._books[organization_id] = (edition, book)
        return book

    def inside(self, organization_id: UUID) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work in an organization, for what no event asks for."""
        context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7(), depth=1)
        return acting_in(self.database, context)

    async def _look_at_figures(self, organization_id: UUID, book: Rulebook, now: datetime) -> Rulebook:
        """Ask for the figures that are too old; the book with them."""
        named = {digest_of(one): one for rule in book.timed(now) for one in rule.document.metrics.values()}
        if not named:
            return book
        async with self.inside(organization_id) as unit:
            known = {row.digest: row for row in await unit.fetch(records.CHECKED)}
        old = [one for one in named if one not in known or now - known[one].checked_at >= _LOOKED_AT_EVERY]
        for digest in old:
            value = await asyncio.to_thread(self.ask, organization_id, named[digest], now)
            async with self.inside(organization_id) as unit:
                if digest in known and (value is None or value == known[digest].value):
                    unit.execute(records.CHECK, id=known[digest].id)
                else:
                    records.keep_figure(unit, digest, value)
        if not old:
            return book
        async with self.inside(organization_id) as unit:
            return await self.book(unit, organization_id)

    async def _come_after(self, organization_id: UUID, book: Rulebook) -> int:
        """Let those act that waited whether something would follow. What was put off again meanwhile is not due."""
        fired, left = 0, True
        while left:
            async with self.inside(organization_id) as unit:
                left = False
                for wait in await unit.fetch(records.TAKE_WAITS, most=1):
                    left = True
                    [(subject, history)] = await _histories(unit, {(wait.subject_type, wait.subject_id)})
                    fact = next((one for one in history if one.id == wait.event_id), None)
                    rule = version_at(book.versions.get(wait.rule_id, ()), fact.occurred_at) if fact else None
                    if fact is None or rule is None:
                        continue
                    then = _as_of(subject, history, wait.due_at)
                    later = [one for one in history if one.recorded_at > wait.due_at]
                    for firing in book.comes_after(rule, fact, then, wait.due_at):
                        fired += await fire(unit, firing, later=later) is not None
        return fired

    async def _come_due(self, organization_id: UUID, book: Rulebook, rule: RuleVersion, now: datetime) -> int:
        trigger, values = rule.document.trigger, dict[str, Any]()
        if isinstance(trigger, OnTimeInStage):
            statement, since = records.STAYING, now - timedelta(days=trigger.days)
            not_before = rule.valid_from - timedelta(days=trigger.days)
            values = {"stage_id": trigger.stage_id, "not_before": not_before, "rule_id": rule.rule_id}
        elif isinstance(trigger, OnNoActivity):
            statement, since = records.SILENT, now - timedelta(days=trigger.days)
        else:
            return 0
        fired, after = 0, None
        while ids := await self._deals(organization_id, statement, after=after, since=since, **values):
            after = ids[-1]
            waiting = [one for one in ids if self._look_again.get((rule.rule_id, rule.version, one), now) <= now]
            async with self.inside(organization_id) as unit:
                found = await _histories(unit, {("deal", one) for one in waiting})
            for subject, history in found:
                due = due_of(rule, _as_of(subject, history, now))
                is_due = due is not None and due.at <= now
                self._look_again[rule.rule_id, rule.version, subject.id] = (
                    min(due.at, now + _BELIEVED) if due is not None and not is_due else now + _BELIEVED
                )
                if due is not None and is_due:
                    fired += await self._let_fire(organization_id, book, rule, subject, history, due)
        return fired

    async def _come_round(self, organization_id: UUID, book: Rulebook, rule: RuleVersion, now: datetime) -> int:
        fired = 0
        for slot in slots(rule, after=now - _MADE_UP, until=now, zone=book.zone):
            if (rule.rule_id, slot) in self._slots_done:
                continue
            after = None
            while ids := await self._deals(
                organization_id, records.OPEN_DEALS, after=after, slot=slot, rule_id=rule.rule_id
            ):
                after = ids[-1]
                async with self.inside(organization_id) as unit:
                    found = await _histories(unit, {("deal", one) for one in ids})
                for subject, history in found:
                    due = slot_due(slot, subject.id)
                    fired += await self._let_fire(organization_id, book, rule, subject, history, due)
            self._slots_done.add((rule.rule_id, slot))
        return fired

    async def _let_fire(
        self,
        organization_id: UUID,
        book: Rulebook,
        rule: RuleVersion,
        subject: Subject,
        history: Sequence[Fact],
        due: Due,
    ) -> int:
        """Judge a deal as it was when time was up, and let the rule act on it as it is."""
        then = _as_of(subject, history, due.at)
        if not then.is_open_deal:
            return 0
        fired = 0
        for firing in book.comes_due(rule, then, due):
            async with self.inside(organization_id) as unit:
                later = [fact for fact in history if fact.recorded_at > due.at]
                fired += await fire(unit, firing, later=later) is not None
        return fired

    async def _deals(self, organization_id: UUID, statement: Statement, **values: object) -> list[UUID]:
        async with self.inside(organization_id) as unit:
            return [row.id for row in await unit.fetch(statement, most=_PAGE, **values)]


def as_fact(event: Envelope[Event]) -> Fact:
    """An event as conditions look at it."""
    return Fact(
        id=event.id,
        type=event.type,
        aggregate_type=event.aggregate_type,
        aggregate_id=event.aggregate_id,
        aggregate_version=event.aggregate_version,
        occurred_at=event.occurred_at,
        recorded_at=event.recorded_at,
        actor=event.actor,
        actor_id=event.actor_id,
        depth=event.depth,
        correlation_id=event.correlation_id,
        data=event.data.model_dump(mode="json"),
    )


async def _histories(unit: UnitOfWork, places: Iterable[Place]) -> list[tuple[Subject, list[Fact]]]:
    """Records that know nothing yet, each with everything about it in the order of the log."""
    subjects = {subject_id: Subject(kind, subject_id) for kind, subject_id in places}
    told: dict[UUID, list[Fact]] = {subject_id: [] for subject_id in subjects}
    for fact in await records.histories(unit, subjects):
        for subject_id in _about(fact):
            if subject_id in told:
                told[subject_id].append(fact)
    return [(subject, told[subject_id]) for subject_id, subject in subjects.items()]


def _subject_of(fact: Fact) -> Place:
    return subject_of(fact.aggregate_type, fact.aggregate_id, fact.data)


def _about(fact: Fact) -> Iterator[UUID]:
    yield fact.aggregate_id
    for name in ("deal_id", "contact_id") if fact.type == SCORED else ("deal_id",):
        if (named := fact.data.get(name)) is not None and str(named) != str(fact.aggregate_id):
            yield UUID(str(named))


def _as_of(subject: Subject, history: Sequence[Fact], at: datetime) -> Subject:
    """The record as it was known at an instant."""
    then = Subject(subject.type, subject.id)
    for fact in history:
        if fact.recorded_at <= at:
            then.learn(fact)
    return then
