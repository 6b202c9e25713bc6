"""An organization with webhooks, their worker, and a receiver on this machine."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg.rows import dict_row
from pydantic import SecretStr
from standardwebhooks import Webhook

from api.edge.consumer import consume
from api.edge.feed import Feed
from api.edge.outgoing import Outgoing
from api.kernel.database import Database as Pool
from api.kernel.secrets import Secrets
from api.webhooks.worker import CONSUMER, Sender, queue, wanted
from contracts.settings import SecretSettings
from tests.api.rules.conftest import no_broker, until
from tests.conftest import Database
from tests.factories import SECRET_KEY, Account, start_api

LOCAL = "127.0.0.1/32"


@dataclass
class Receiver:
    """A server that keeps what it is sent, and answers as it is told."""

    port: int = 0
    status: int = 204
    says: bytes = b""
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def verified(self, secret: str, number: int = -1) -> dict[str, Any]:
        """The body of a request, if the verifier of Standard Webhooks takes it."""
        headers, body = self.heard[number]
        Webhook(secret).verify(body, headers)
        found: dict[str, Any] = json.loads(body)
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        self.heard.append((headers, await reader.readexactly(int(headers["content-length"]))))
        answer = f"HTTP/1.1 {self.status} As told\r\nContent-Length: {len(self.says)}\r\nConnection: close\r\n\r\n"
        writer.write(answer.encode() + self.says)
        await writer.drain()
        writer.close()


@dataclass
class Shop:
    """An owner, their webhooks' receiver and worker."""

    owner: Account
    database: Database
    pool: Pool
    receiver: Receiver
    sender: Sender

    async def hook(self, *event_types: str, **fields: Any) -> dict[str, Any]:
        """A webhook to the receiver."""
        body = {"url": self.receiver.url, "event_types": event_types, **fields}
        return await self.owner.made("/v1/webhooks", json=body)

    async def team(self, name: str = "Sales") -> dict[str, Any]:
        return await self.owner.made("/v1/teams", json={"name": name})

    async def deliveries(self, hook: dict[str, Any]) -> list[dict[str, Any]]:
        """A webhook's log, newest first."""
        items: list[dict[str, Any]] = (await self.owner.read(f"/v1/webhooks/{hook['id']}/deliveries"))["items"]
        return items

    async def read(self, hook: dict[str, Any]) -> dict[str, Any]:
        return await self.owner.read(f"/v1/webhooks/{hook['id']}")

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database.admin_url, row_factory=dict_row) as admin:
            cursor = admin.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def hurry(self) -> None:
        """Let the time of the next attempts come."""
        self.rows("update webhook_deliveries set next_attempt_at = now() where next_attempt_at is not null")

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        """The worker that queues; ended in whatever it does when the block ends."""
        feed = Feed(self.pool, connect=no_broker)
        glance = partial(wanted, self.pool)
        task = asyncio.create_task(consume(self.pool, CONSUMER, queue, threading.Event(), glance=glance, feed=feed))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def settle(self) -> None:
        """Queue whatever there is to queue, and send what is due, once."""
        async with self.consuming():
            await until(self._is_queued)
        while await self.sender.send_due():
            pass

    def _is_queued(self) -> bool:
        left = self.rows("""
            select 1 from event_log e join consumers c on c.consumer = 'webhooks'
            where e.position > c.settled_position and e.recorded_at >= c.since and not exists (
                select from consumed_events d where d.event_id = e.event_id and d.consumer = 'webhooks'
                and (d.consumed_at is not null or d.parked_reason is not null)) limit 1
        """)
        return not left and bool(self.rows("select 1 from consumers where consumer = 'webhooks'"))


@pytest.fixture(scope="module")
def hooks_database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest_asyncio.fixture
async def shop(hooks_database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """A new organization; the worker may call this machine."""
    monkeypatch.setenv("SLUICE_OUTGOING_ALLOW", LOCAL)
    api, receiver = await start_api(hooks_database), Receiver()
    pool, outgoing = Pool(hooks_database.worker_url, pool_size=8), Outgoing(allow=[LOCAL], seconds=5)
    vault = Secrets.of(SecretSettings(secret_key=SecretStr(SECRET_KEY)))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        made = Shop(await api.sign_up(), hooks_database, pool, receiver, Sender(pool, outgoing, vault))
        await made.settle()
        yield made
    await outgoing.close()
    await pool.close()
    await api.close()
