"""The API behind real sockets, twice, as two processes would be, and the worker that numbers events."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
import websockets
from fastapi import FastAPI

from api.kernel.database import Database as Pool
from api.live import worker
from api.main import create_app
from api.serve import SOCKETS
from contracts.settings import DatabaseSettings
from tests.conftest import Database
from tests.factories import Account, api_settings

SECONDS = 60.0


class Client:
    """A listener."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self.heard: list[dict[str, Any]] = []
        self.presences: list[dict[str, Any]] = []
        self.told = -1
        self.stream = ""

    async def frame(self) -> dict[str, Any]:
        """The next frame; what it leaves out must not be more than it says."""
        async with asyncio.timeout(SECONDS):
            frame: dict[str, Any] = json.loads(await self.connection.recv())
        if frame["kind"] == "hello":
            self.told, self.stream = frame["sequence"], frame["stream"]
        elif frame["kind"] == "presence":
            self.presences.append(frame)
        else:
            assert frame["after"] == self.told
            self.told = frame["sequence"]
            self.heard += frame["events"]
        return frame

    async def until_hears_of(self, aggregate_id: str, kind: str | None = None) -> dict[str, Any]:
        """The first event of a record, of this type."""
        while True:
            for event in self.heard:
                if event["aggregate_id"] == aggregate_id and kind in (None, event["type"]):
                    return event
            await self.frame()

    async def closed(self) -> tuple[int, str]:
        """How the server ends it; frames before that are read."""
        with pytest.raises(websockets.ConnectionClosed) as end:
            await self._read_on()
        assert end.value.rcvd is not None, "cut off without a word"
        return end.value.rcvd.code, end.value.rcvd.reason

    async def _read_on(self) -> None:
        while True:
            await self.frame()


class Live:
    """Two servers."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports

    @asynccontextmanager
    async def listen(
        self, account: Account | None, *, server: int = 0, hello: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[Client]:
        """A socket of somebody's; `hello` is said first."""
        url = f"ws://127.0.0.1:{self.ports[server]}/v1/live"
        async with websockets.connect(url, compression=None, open_timeout=SECONDS, **options) as connection:
            client = Client(connection)
            if account is not None:
                await connection.send(json.dumps({"token": account.access_token, **(hello or {})}))
                await client.frame()
            yield client


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """An application behind a port."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", **SOCKETS))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before the server does waits
        task = asyncio.create_task(server.serve(sockets=[listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await task


@asynccontextmanager
async def numbering(database: Database) -> AsyncIterator[None]:
    """The worker."""
    stop, pool = threading.Event(), Pool(database.worker_url)
    task = asyncio.create_task(worker.run(pool, stop))
    yield
    stop.set()
    await task
    await pool.close()


@pytest_asyncio.fixture
async def live(api_database: Database) -> AsyncIterator[Live]:
    """Two servers and a worker."""
    apps = [create_app(api_settings(), DatabaseSettings(database_url=api_database.app_url)) for _ in range(2)]
    async with numbering(api_database), served(apps[0]) as first, served(apps[1]) as second:
        yield Live([first, second])
    for app in apps:
        await app.state.services.database.close()
