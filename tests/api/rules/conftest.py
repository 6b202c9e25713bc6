"""An organization with rules, and their worker, which takes events from the event log alone."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest_asyncio
from psycopg.rows import dict_row

from api.edge.consumer import consume
from api.edge.feed import Feed
from api.kernel.database import Database as Pool
from api.rules.automaton import Automaton
from bus.records import Consumer, Partition, TransportError
from contracts.settings import KafkaSettings
from tests.conftest import Database
from tests.factories import Account, start_api


def no_broker(_settings: KafkaSettings) -> tuple[Consumer, list[Partition]]:
    raise TransportError("there is none")


@dataclass
class Shop:
    """An owner, their first pipeline's stages by name, and the worker's database."""

    owner: Account
    database: Database
    pool: Pool
    stages: dict[str, str]
    pipeline_id: str

    async def rule(self, trigger: dict[str, Any] | str, *actions: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A live rule."""
        if isinstance(trigger, str):
            trigger = {"kind": "event", "event": trigger}
        mode, name = more.pop("mode", "live"), more.pop("name", "A rule")
        document = {"trigger": trigger, "actions": list(actions), **more}
        return await self.owner.made("/v1/rules", json={"name": name, "mode": mode, "document": document})

    async def deal(self, **fields: Any) -> dict[str, Any]:
        body = {"pipeline_id": self.pipeline_id, "title": "400 seats", **fields}
        return await self.owner.made("/v1/deals", json=body)

    async def move(self, deal: dict[str, Any], stage: str, **fields: Any) -> dict[str, Any]:
        body = {"stage_id": self.stages[stage], **fields}
        return await self.owner.made(f"/v1/deals/{deal['id']}/move", json=body)

    async def runs(self, rule: dict[str, Any]) -> list[dict[str, Any]]:
        """A rule's log, oldest first."""
        page = await self.owner.read(f"/v1/rules/{rule['id']}/runs", params={"limit": 200})
        return list(reversed(page["items"]))

    def move_to(self, stage: str, **fields: Any) -> dict[str, Any]:
        return {"do": "deal.move", "with": {"stage_id": self.stages[stage], **fields}}

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database.admin_url, row_factory=dict_row) as admin:
            return admin.execute(query, parameters).fetchall()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.Task[None]]:
        """The rules' worker; ended in whatever it does when the block ends."""
        stop, automaton = threading.Event(), Automaton(self.pool)
        feed = Feed(self.pool, connect=no_broker)
        task = asyncio.create_task(
            consume(
                self.pool,
                "rules",
                automaton.handle,
                stop,
                glance=automaton.glance,
                concerns=automaton.concerns,
                feed=feed,
            )
        )
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def settle(self) -> None:
        """Let the worker do all there is to do."""
        async with self.working():
            await until(self._is_done)

    def _is_done(self) -> bool:
        left = self.rows("""
            select 1 from event_log e join consumers c on c.consumer = 'rules'
            where e.position > c.settled_position and e.recorded_at >= c.since and not exists (
                select from consumed_events d where d.event_id = e.event_id and d.consumer = 'rules'
                and (d.consumed_at is not null or d.parked_reason is not null)) limit 1
        """)
        return not left and bool(self.rows("select 1 from consumers where consumer = 'rules'"))


async def until(is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it does not come to pass"
        await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    """A new organization whose rules' worker has run once: what comes from now on is its own."""
    api = await start_api(database)
    owner = await api.sign_up(currency="EUR")
    pipeline = (await owner.read("/v1/pipelines"))["items"][0]
    stages = {stage["name"]: stage["id"] for stage in pipeline["stages"]}
    pool = Pool(database.worker_url, pool_size=8)
    made = Shop(owner, database, pool, stages, pipeline["id"])
    await made.settle()
    yield made
    await pool.close()
    await api.close()
