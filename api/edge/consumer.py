"""Consumers that act on events: each event once, in the order of its aggregate, in the transaction of its effect.

    async def run(database: Database, stop: threading.Event) -> None:
        await consume(database, "visits", _react, stop, types=["visit.ended"])

Kafka says quickly what there is; the event log is what is true. What Kafka never told, because it lost its data or is
down, is found there within seconds, and what it tells twice, or of a future that a restore undid, is not there to be
claimed. One process consumes under a name, others stand by: a lease that went over is noticed within the transaction.
An event that cannot be handled is parked with its reason, and with it the later ones of its aggregate; others go on.
"""

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.pipeline import Connection, Row
from api.db.statements import Statement, compiled
from api.edge import consumed
from api.edge.feed import Feed, Message
from api.edge.settling import Settling
from api.kernel.context import Context
from api.kernel.database import Database, begun
from api.kernel.unit_of_work import Opening, UnitOfWork
from bus.dead_letter import InvalidRatioBreaker, TooManyInvalidError
from contracts.events.envelope import ActorKind, Envelope, Event
from contracts.events.registry import UnreadableEventError, parse

_log = logging.getLogger(__name__)

Handle = Callable[[UnitOfWork, Envelope[Event]], Awaitable[None]]


class Glimpse(NamedTuple):
    """What of an event can be seen before it is read."""

    id: UUID
    type: str
    organization_id: UUID
    occurred_at: datetime


#: Of a batch, the ids of events that are worth being read: most are nobody's business, and an import writes thousands.
Glance = Callable[[Sequence[Glimpse]], Awaitable[Collection[UUID]]]
#: Of those, the ids of events that the consumer has to handle; the others are passed over, many in one statement.
Concerns = Callable[[Sequence[Envelope[Event]]], Awaitable[Collection[UUID]]]

#: Why an event is parked that could be handled itself.
BEHIND_A_PARKED = "waits for an earlier event of its aggregate"

_SEVERAL = 4
_BATCH = 500
#: Events that are glanced at together: what is nobody's business, an import's above all, is over in few statements.
_GLANCED = 4_000
_REMEMBERED = 20_000
_ATTEMPTS = 3
_SWEEP_SECONDS, _SWEEP_ALONE_SECONDS = 5.0, 0.3
#: What is behind the settled position need not be looked through again: after so long, or so many events.
_SETTLE_SECONDS, _SETTLE_EVENTS = 5.0, 4 * _BATCH
_STAND_BY_SECONDS, _RETRY_SECONDS, _PAUSE_SECONDS = 1.0, 2.0, 30.0

_BECOME_APP = compiled(text("set local role sluice_app"))
_ENTER = compiled(text("select set_config('sluice.organization_id', :organization_id, true)"))


class LeaseLostError(RuntimeError):
    """Another process consumes under this name now."""


class _NotClaimedError(Exception):
    """The event is not this transaction's to handle."""


async def consume(
    database: Database,
    consumer: str,
    handle: Handle,
    stop: threading.Event,
    *,
    types: Collection[str] | None = None,
    glance: Glance | None = None,
    concerns: Concerns | None = None,
    feed: Feed | None = None,
) -> None:
    """Have `handle` act on every event of `types` (None: of all) recorded since the consumer first ran, until `stop`.

    `handle` gets a unit of work in the event's organization, whose context names the event as the cause. What it raises
    undoes what it did; the third time the event is parked. It must not wait for others than PostgreSQL.
    """
    feed = feed or Feed(database)
    breaker = InvalidRatioBreaker()
    while not stop.is_set():
        try:
            await _stand_by(
                _Consumption(
                    database,
                    consumer,
                    handle,
                    None if types is None else sorted(types),
                    glance,
                    concerns,
                    feed,
                    breaker,
                ),
                stop,
            )
        except (psycopg.Error, OSError, LeaseLostError) as error:
            _log.warning("%s begins anew: %s", consumer, error)
            await asyncio.sleep(_RETRY_SECONDS if not stop.is_set() else 0)
        except TooManyInvalidError:
            _log.exception("%s pauses: too many events cannot be handled, so none is parked", consumer)
            await _rest(stop, _PAUSE_SECONDS)
    await feed.close()


@asynccontextmanager
async def acting_in(database: Database, context: Context) -> AsyncIterator[UnitOfWork]:
    """A unit of work of the worker in an organization, as the app: for what a slice does by the clock."""
    unit = UnitOfWork(database.pool)
    unit.open_with(Opening(context.organization_id, (_BECOME_APP.bind(), _ENTER.bind()), lambda _: context))
    async with begun(unit):
        await unit.begin()
        yield unit


async def _stand_by(consumption: "_Consumption", stop: threading.Event) -> None:
    """Wait for the lease, then consume."""
    connection = await consumption.database.pool.take()
    consumption.connection = connection
    try:
        await consumption.ask(consumed.WATCHED)
        while not stop.is_set():
            [lease] = await consumption.ask(consumed.TRY_LEASE, consumer=consumption.consumer)
            if lease.is_held:
                await consumption.run(stop)
            else:
                await _rest(stop, _STAND_BY_SECONDS)
    finally:
        await connection.close()  # and with it the lease
        await consumption.database.pool.give_back(connection)


async def _rest(stop: threading.Event, seconds: float) -> None:
    until = monotonic() + seconds
    while not stop.is_set() and monotonic() < until:  # noqa: ASYNC110 # `stop` is set by a signal, in no loop
        await asyncio.sleep(0.2)


@dataclass
class _Consumption:
    """What one lease consumes."""

    database: Database
    consumer: str
    handle: Handle
    types: Sequence[str] | None
    glance: Glance | None
    concerns: Concerns | None
    feed: Feed
    breaker: InvalidRatioBreaker
    connection: Connection | None = None
    token: UUID = field(default_factory=uuid7)
    _recent: OrderedDict[UUID, None] = field(default_factory=OrderedDict)
    _sweep_at: float = 0.0
    #: Up to where this sweep has looked; the next one begins anew, for what commits late stands before that.
    _swept: int = 0
    _settle_at: float = 0.0
    _unsettled: int = 0
    _settling: Settling = field(default_factory=Settling)

    async def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set."""
        async with self.database.unit(None) as unit:
            unit.execute(consumed.CLOSE_GATE, consumer=self.consumer)
            await unit.fetch(consumed.REGISTER, consumer=self.consumer, token=self.token)
        while not stop.is_set():
            events = await self._left() if monotonic() >= self._sweep_at else await self._told(stop)
            if events:
                await self._take(events)
            if monotonic() >= self._settle_at or self._unsettled >= _SETTLE_EVENTS:
                await self._settle()

    async def ask(self, statement: Statement, **values: object) -> list[Row]:
        """Rows by the connection that holds the lease."""
        if self.connection is None:
            raise LeaseLostError(self.consumer)
        [rows] = await self.connection.send([statement.bind(**values)], implied={})
        return rows

    async def _left(self) -> list[Envelope[Event]]:
        """What the event log holds that is not consumed."""
        most = _BATCH if self.glance is None else _GLANCED
        rows = await self.ask(consumed.LEFT, consumer=self.consumer, types=self.types, after=self._swept, most=most)
        if len(rows) < most:
            self._sweep_at = monotonic() + (_SWEEP_SECONDS if self.feed.is_up else _SWEEP_ALONE_SECONDS)
        self._swept = rows[-1].position if len(rows) == most else 0
        worth = await self._glanced([Glimpse(*row[1:]) for row in rows])
        wanted = [row.position for row in rows if row.id in worth]
        positions = wanted[:_BATCH]
        if len(wanted) > _BATCH:  # each is a transaction: the sweep goes on behind those
            self._sweep_at, self._swept = 0.0, positions[-1]
        events = []
        for row in await self.ask(consumed.WHOLE, positions=positions) if positions else ():
            try:
                events.append(parse(row._asdict()))
            except UnreadableEventError as error:
                await self._park(row.organization_id, row.id, str(error))
        return events

    async def _told(self, stop: threading.Event) -> list[Envelope[Event]]:
        """What Kafka told since the last time. Where it tells nothing that can be read, the event log will."""
        messages = await self.feed.read(stop)
        if not self.feed.is_up:
            await asyncio.sleep(max(0.0, min(self._sweep_at - monotonic(), _SWEEP_ALONE_SECONDS)))
        seen = [(glimpse, message) for message in messages if (glimpse := self._glimpse(message))]
        worth = await self._glanced([glimpse for glimpse, _ in seen])
        return [event for glimpse, message in seen if glimpse.id in worth and (event := _read(message))]

    def _glimpse(self, message: Message) -> Glimpse | None:
        """What can be seen of a message; None where it is not for this consumer, or was handled a moment ago."""
        if self.types is not None and message.get("type") not in self.types:
            return None
        try:
            glimpse = Glimpse(
                UUID(message["id"]),
                str(message["type"]),
                UUID(message["organization_id"]),
                datetime.fromisoformat(message["occurred_at"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        return None if glimpse.id in self._recent else glimpse

    async def _glanced(self, seen: Sequence[Glimpse]) -> set[UUID]:
        """The ids of events that are worth being read; the others are over."""
        if self.glance is None or not seen:
            return {one.id for one in seen}
        worth = set(await self.glance(seen))
        await self._pass_over([one.id for one in seen if one.id not in worth])
        return worth

    async def _pass_over(self, event_ids: Sequence[UUID]) -> None:
        if event_ids:
            await self._write(consumed.PASS_OVER, event_ids=list(event_ids))
            self._remember(event_ids)

    async def _take(self, events: Sequence[Envelope[Event]]) -> None:
        """Handle events, of several aggregates at once, of each in order."""
        wanted = {event.id for event in events} if self.concerns is None else set(await self.concerns(events))
        chains: dict[tuple[UUID, UUID], list[Envelope[Event]]] = {}
        for event in events:
            if event.id in wanted:
                chains.setdefault((event.organization_id, event.aggregate_id), []).append(event)
        await self._pass_over([event.id for event in events if event.id not in wanted])
        several = asyncio.Semaphore(_SEVERAL)
        try:
            async with asyncio.TaskGroup() as group:
                for chain in chains.values():
                    group.create_task(self._handle_chain(chain, several))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _handle_chain(self, chain: Sequence[Envelope[Event]], several: asyncio.Semaphore) -> None:
        async with several:
            for event in chain:
                if not await self._handle(event):
                    self._sweep_at, self._swept = 0.0, 0  # something before it is left
                    return

    async def _handle(self, event: Envelope[Event]) -> bool:
        """Whether the event is over: acted on, parked, or none of ours."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._act(event)
            except _NotClaimedError:
                return await self._look_into(event)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                if attempt == _ATTEMPTS:
                    raise  # PostgreSQL's trouble, not the event's
            except Exception as error:  # noqa: BLE001 # the edge of an event
                if attempt == _ATTEMPTS:
                    _log.exception("%s parks %s %s", self.consumer, event.type, event.id)
                    await self._park(event.organization_id, event.id, f"{type(error).__name__}: {error}")
                    return True
            else:
                self._remember([event.id])
                self.breaker.record(monotonic(), valid=1, invalid=0)
                return True
            await asyncio.sleep(0.02 * attempt)
        raise AssertionError("the last attempt answers or raises")

    async def _act(self, event: Envelope[Event]) -> None:
        context = Context(
            organization_id=event.organization_id,
            actor=ActorKind.SYSTEM,
            correlation_id=event.correlation_id,
            causation_id=event.id,
            depth=event.depth + 1,
        )

        def admit(answers: Sequence[list[Row]]) -> Context:
            if not answers[-1]:
                raise _NotClaimedError
            return context

        claim = consumed.CLAIM.bind(consumer=self.consumer, token=self.token, types=self.types, event_id=event.id)
        way_in = (consumed.entering_gate(self.consumer), _BECOME_APP.bind(), _ENTER.bind(), claim)
        unit = UnitOfWork(self.database.pool)
        unit.open_with(Opening(event.organization_id, way_in, admit))
        async with begun(unit):
            await unit.begin()
            await self.handle(unit, event)

    async def _look_into(self, event: Envelope[Event]) -> bool:
        """Why an event could not be claimed, and whether it is over."""
        async with self.database.unit(None) as unit:
            [found] = await unit.fetch(
                consumed.STANDING,
                consumer=self.consumer,
                token=self.token,
                organization_id=event.organization_id,
                event_id=event.id,
            )
        if not found.is_ours:
            raise LeaseLostError(self.consumer)
        if found.is_held and not found.is_over:
            await self._park(event.organization_id, event.id, BEHIND_A_PARKED)
            return True
        if found.is_over or not found.is_known:  # not known: of a future that a restore undid
            self._remember([event.id])
            return True
        return False

    async def _park(self, organization_id: UUID, event_id: UUID, reason: str) -> None:
        if reason != BEHIND_A_PARKED:
            self.breaker.record(monotonic(), valid=0, invalid=1)
        reason = reason.replace("\0", "")[:2_000]
        await self._write(consumed.PARK, organization_id=organization_id, event_id=event_id, reason=reason)
        self._remember([event_id])

    async def _write(self, statement: Statement, **values: Any) -> None:  # noqa: ANN401 # as it takes
        async with self.database.unit(None) as unit:
            unit.execute(consumed.ENTER_GATE, consumer=self.consumer)
            unit.execute(statement, consumer=self.consumer, token=self.token, **values)

    def _remember(self, event_ids: Collection[UUID]) -> None:
        self._unsettled += len(event_ids)
        self._recent.update(dict.fromkeys(event_ids))
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)

    async def _settle(self) -> None:
        """Forget what is consumed up to a position that nothing can come before any more."""
        self._settle_at, self._unsettled = monotonic() + _SETTLE_SECONDS, 0
        [seen] = await self.ask(consumed.HORIZON)
        if settled := self._settling.take(seen):
            await self._write(consumed.SETTLE, types=self.types, position=settled)
            await self.ask(consumed.FORGET, consumer=self.consumer)


def _read(message: Message) -> Envelope[Event] | None:
    try:
        return parse(message)
    except UnreadableEventError:
        return None
