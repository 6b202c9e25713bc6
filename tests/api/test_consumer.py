"""Consumers that act: each event once, in order, whatever the broker forgets or repeats and whoever is killed."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.edge import consumed
from api.edge.consumer import BEHIND_A_PARKED, consume
from api.edge.feed import Feed
from api.edge.settling import Settling
from api.kernel.database import Database as Pool
from api.kernel.unit_of_work import UnitOfWork
from bus.memory import MemoryBroker
from bus.records import Consumer, Partition, TransportError
from bus.topics import TOPICS
from contracts.events.envelope import Envelope, Event
from contracts.settings import KafkaSettings, WarehouseSettings
from contracts.topics import EVENT_TOPICS
from ingest.outbox import list_parked, release_parked
from tests.conftest import Database
from tests.faults.small_world import RelaySteps
from tests.ingest.writers import insert_event, new_id

NAME = "tester"
_EFFECT = compiled(
    text("insert into effects (event_id, aggregate_id, version) values (:event_id, :aggregate_id, :version)")
)
_PLACES = [Partition(topic, number) for topic in EVENT_TOPICS for number in range(TOPICS[topic][0])]


class PoisonError(Exception):
    """The handler cannot digest this."""


@dataclass
class World:
    """A database, a broker, a relay, and a consumer whose effects are rows."""

    database: Database
    folder: Path
    organization_id: UUID = field(default_factory=uuid7)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    poison: set[UUID] = field(default_factory=set)
    has_broker: bool = True

    def __post_init__(self) -> None:
        warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{self.folder}"))
        self.relay = RelaySteps(self.database.relay_url, self.broker, warehouse)
        with psycopg.connect(self.database.admin_url) as admin:
            admin.execute(
                "insert into organizations (organization_id, name, time_zone, currency, week_start,"
                " fiscal_year_start_month, version) values (%s, 'Org', 'UTC', 'EUR', 1, 1, 1)",
                (self.organization_id,),
            )
            admin.execute("create table effects (event_id uuid, aggregate_id uuid, version int, n serial)")
            admin.execute("grant select, insert on effects to sluice_app")
            admin.execute("grant usage on sequence effects_n_seq to sluice_app")

    def write(self, aggregate_id: UUID, *versions: int) -> None:
        """Events of an aggregate, a transaction each."""
        with psycopg.connect(self.database.app_url) as connection:
            for version in versions:
                insert_event(connection, aggregate_id, version, organization_id=self.organization_id)
                connection.commit()

    def publish(self) -> None:
        """All that the relay has to do."""
        while self.relay.step(1_000):
            pass

    def repeat(self, generator: random.Random) -> None:
        """A relay that was killed sends everything again, in order."""
        for place in _PLACES:
            for record in list(self.broker.logs.get(place, []))[-generator.randint(1, 20) :]:
                self.broker.append(record.topic, record.key or b"", record.value, record.headers)

    def effects(self) -> list[tuple[UUID, int]]:
        """What was done, in order."""
        with psycopg.connect(self.database.admin_url) as admin:
            rows = admin.execute("select aggregate_id, version from effects order by n").fetchall()
        return [(row[0], row[1]) for row in rows]

    def row(self, query: str) -> Any:
        with psycopg.connect(self.database.admin_url) as admin:
            return admin.execute(query).fetchone()

    def connect(self, _settings: KafkaSettings) -> tuple[Consumer, list[Partition]]:
        if not self.has_broker:
            raise TransportError("down")
        return _Patient(self.broker.consumer()), _PLACES

    async def handle(self, unit: UnitOfWork, event: Envelope[Event]) -> None:
        unit.execute(_EFFECT, event_id=event.id, aggregate_id=event.aggregate_id, version=event.aggregate_version)
        if event.aggregate_id in self.poison:
            raise PoisonError("indigestible")

    @asynccontextmanager
    async def consuming(self, name: str = NAME) -> AsyncIterator[asyncio.Task[None]]:
        """A consumer at work; it is killed where the block leaves it running."""
        pool, stop = Pool(self.database.worker_url, pool_size=8), threading.Event()
        feed = Feed(pool, connect=self.connect)
        task = asyncio.create_task(consume(pool, name, self.handle, stop, types=["deal.deleted"], feed=feed))
        try:
            yield task
            stop.set()
            if not task.cancelled():
                await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await pool.close()

    async def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline, self.effects()[-5:]
            await asyncio.sleep(0.02)


@dataclass
class _Patient:
    """The broker in memory answers at once; a real one lets the reader wait."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def poll(self, timeout: float) -> Any:
        time.sleep(0.01)
        return self.inner.poll(timeout)


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = World(database, tmp_path)
    yield made
    made.relay.kill()


async def _begun(world: World, name: str = NAME) -> None:
    """Once a consumer has run, it knows since when events are its own."""
    async with world.consuming(name):
        await world.until(lambda: bool(world.row(f"select 1 from consumers where consumer = '{name}'")))


def _is_in_order(effects: list[tuple[UUID, int]]) -> bool:
    last: dict[UUID, int] = {}
    for aggregate_id, version in effects:
        if version != last.get(aggregate_id, 0) + 1:
            return False
        last[aggregate_id] = version
    return True


async def test_r1_each_event_is_handled_once_in_order_whatever_is_killed_repeated_or_forgotten(world: World) -> None:
    generator = random.Random(7)
    ids = [new_id() for _ in range(6)]
    await _begun(world)
    expected = 0
    for round_ in range(12):
        for aggregate_id in ids:
            world.write(aggregate_id, 2 * round_ + 1, 2 * round_ + 2)
            expected += 2
        if round_ == 6:
            world.broker.forget()
        if generator.random() < 0.7:
            world.publish()
            world.repeat(generator)
        with suppress(asyncio.CancelledError):
            async with world.consuming() as consumer:
                await asyncio.sleep(generator.random() * 0.15)
                consumer.cancel()
    world.publish()
    async with world.consuming():
        await world.until(lambda: len(world.effects()) >= expected)
        world.repeat(generator)
        await asyncio.sleep(0.2)
    assert len(world.effects()) == expected
    assert _is_in_order(world.effects())


async def test_what_the_broker_never_told_is_found_in_the_event_log(world: World) -> None:
    world.has_broker = False
    await _begun(world)
    world.write(new_id(), 1, 2, 3)
    async with world.consuming():
        await world.until(lambda: len(world.effects()) == 3)
    assert _is_in_order(world.effects())


async def test_an_event_told_before_an_earlier_one_of_its_aggregate_waits_for_it(world: World) -> None:
    await _begun(world)
    aggregate_id = new_id()
    world.write(aggregate_id, 1)
    world.publish()
    world.write(aggregate_id, 2)
    world.publish()
    world.broker.logs = {place: log[::-1] for place, log in world.broker.logs.items()}
    async with world.consuming():
        await world.until(lambda: len(world.effects()) == 2)
    assert _is_in_order(world.effects())


async def test_a_poisonous_event_is_parked_with_its_aggregate_and_the_others_go_on(world: World) -> None:
    await _begun(world)
    bad, good = new_id(), new_id()
    world.poison.add(bad)
    async with world.consuming():
        for version in (1, 2, 3):
            world.write(bad, version)
            world.write(good, version)
            world.publish()
        await world.until(lambda: len(world.effects()) == 3)
        await world.until(lambda: world.row("select count(parked_reason) from consumed_events")[0] == 3)
        with psycopg.connect(world.database.relay_url) as operator:
            parked = list_parked(operator)
            assert [one.reason for one in parked] == ["PoisonError: indigestible", BEHIND_A_PARKED, BEHIND_A_PARKED]
            assert {(one.aggregate_id, one.consumer) for one in parked} == {(bad, NAME)}
            world.poison.clear()
            assert release_parked(operator, bad) == 3
        await world.until(lambda: len(world.effects()) == 6)
    assert _is_in_order(world.effects())


async def test_a_new_consumer_begins_with_what_comes_and_forgets_what_is_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.edge.consumer._SETTLE_SECONDS", 0.1)
    old, new = new_id(), new_id()
    world.write(old, 1)
    world.publish()
    await _begun(world)
    world.write(new, 1)
    world.write(old, 2)
    world.publish()
    async with world.consuming():
        await world.until(lambda: len(world.effects()) == 2)
        await world.until(lambda: world.row("select count(*) from consumed_events")[0] == 0)
        world.repeat(random.Random(1))  # told again, they are not done again
        await asyncio.sleep(0.3)
    assert sorted(world.effects(), key=str) == sorted([(new, 1), (old, 2)], key=str)


async def test_a_settled_position_waits_for_transactions_that_may_still_commit_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.edge.consumer._SETTLE_SECONDS", 0.05)
    await _begun(world)
    slow, quick = new_id(), new_id()
    with psycopg.connect(world.database.app_url) as connection:
        insert_event(connection, slow, 1, organization_id=world.organization_id)
        world.write(quick, 1)
        async with world.consuming():
            await world.until(lambda: len(world.effects()) == 1)
            await asyncio.sleep(0.5)
            connection.commit()
            await world.until(lambda: len(world.effects()) == 2)


async def test_a_settled_position_waits_for_whom_a_snapshot_does_not_know_yet(world: World) -> None:
    """A position is drawn a moment before its transaction has a number, which may be the newest of all."""
    pool, settling = Pool(world.database.worker_url), Settling()

    async def look() -> int:
        async with pool.unit(None) as unit:
            [seen] = await unit.fetch(consumed.HORIZON)
        return settling.take(seen)

    drawn = "select nextval(pg_get_serial_sequence('public.event_log', 'position'))"
    world.row(drawn)  # the first is written to the log, which needs a transaction's number
    with psycopg.connect(world.database.admin_url) as late:
        [position] = late.execute(drawn).fetchone() or (0,)
        assert await look() == 0
        late.execute("create table something (n int)")
        assert [one for one in [await look() for _ in range(4)] if one >= position] == []
        late.commit()
    assert max([await look() for _ in range(3)]) >= position
    await pool.close()


async def test_who_lost_the_lease_does_nothing_more(world: World) -> None:
    await _begun(world)
    pool = Pool(world.database.worker_url, pool_size=2)
    async with world.consuming() as first:
        await world.until(lambda: world.relay.step(1) == 0)
        async with pool.unit(None) as unit:  # somebody who has the lease by mistake, or while the first stood still
            await unit.fetch(consumed.REGISTER, consumer=NAME, token=uuid7())
        world.write(new_id(), 1)
        world.publish()
        await world.until(lambda: len(world.effects()) == 1)  # the first notices, and takes the lease anew
        assert not first.done()
    assert world.row("select count(*) from consumed_events where consumed_at is not null")[0] == 1
    await pool.close()


async def test_one_consumes_and_the_other_stands_by_until_it_ends(world: World) -> None:
    await _begun(world)
    async with world.consuming() as first, world.consuming():
        world.write(new_id(), 1)
        await world.until(lambda: len(world.effects()) == 1)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        world.write(new_id(), 1)
        await world.until(lambda: len(world.effects()) == 2)
