"""Hints that there may be something to do, for loops that would else ask PostgreSQL again and again whether there is.

PostgreSQL notifies: of events by itself, of what else a slice hands to its worker where that calls `hint`. Many API
processes, or those behind a pooler that cannot listen, hear the same from Redis, where the worker passes it on. A hint
may get lost with its connection, so whoever waits for one looks by itself every few seconds all the same.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import UnitOfWork

#: Announced by PostgreSQL itself whenever events are committed.
EVENTS = "events"

#: What PostgreSQL says where an organization has something to tell its listeners; the organization's id follows.
LIVE = "live:"

_CHANNEL, _EVENTS_CHANNEL = "sluice_work", "sluice_events"
_REDIS_CHANNEL, _ANYTHING = "sluice:hints", "anything"
_NOTIFY = compiled(text(f"select pg_notify('{_CHANNEL}', :work)"))
_RETRY_SECONDS = 2.0


def hint(unit: UnitOfWork, work: str) -> None:
    """Tell whoever waits for `work`, as the unit commits."""
    unit.execute(_NOTIFY, work=work)


def told(stop: threading.Event) -> asyncio.Future[None]:
    """Done as soon as `stop` is set: a thread waits for that, and nobody has to look."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def wait() -> None:
        stop.wait()
        with suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(_finish, future)

    threading.Thread(target=wait, name="waits to be stopped", daemon=True).start()
    return future


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Hints:
    """Listens on one connection, made with the first bell, for all loops of a process: to Redis where there is one."""

    def __init__(self, url: str, *, redis_url: str | None = None) -> None:
        self._url, self._redis_url = url, redis_url
        self._bells: list[Bell] = []
        self._listening: asyncio.Task[None] | None = None
        self._stops: dict[threading.Event, asyncio.Future[None]] = {}

    def bell(self, work: str) -> "Bell":
        """Rings for hints of `work`."""
        bell = Bell(work, self)
        self._bells.append(bell)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        return bell

    def forget(self, bell: "Bell") -> None:
        """Nobody waits for this one any more."""
        self._bells.remove(bell)

    async def close(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        self._listening = None

    def wake_at(self, stop: threading.Event) -> None:
        """Let all that wait go on as soon as `stop` is set, in whatever thread or signal that happens."""
        if stop not in self._stops:
            self._stops[stop] = told(stop)
            self._stops[stop].add_done_callback(lambda _told: self._ring(None))

    async def _listen(self) -> None:
        while True:
            with suppress(psycopg.Error, RedisError, OSError):
                heard = _hear_redis(self._redis_url) if self._redis_url else _hear_postgresql(self._url)
                async with aclosing(heard):
                    async for work in heard:
                        self._ring(work)
            await asyncio.sleep(_RETRY_SECONDS)

    def _ring(self, work: str | None) -> None:
        for bell in self._bells:
            if work in (None, bell.work):
                bell.rung.set()


class Bell:
    """One loop's: it remembers that it rang until somebody waits."""

    def __init__(self, work: str, hints: Hints) -> None:
        self.work, self.rung, self._hints = work, asyncio.Event(), hints

    async def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait until it rings, `seconds` are over, or `stop` is set; whether it rang."""
        if stop is not None:
            if stop.is_set():
                return False
            self._hints.wake_at(stop)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.rung.wait()
        has_rung = self.rung.is_set()
        self.rung.clear()
        return has_rung


async def pass_on(url: str, redis_url: str) -> None:
    """Tell Redis what PostgreSQL says, for ever; whichever of them goes away is waited for."""
    while True:
        with suppress(psycopg.Error, RedisError, OSError):
            async with Redis.from_url(redis_url, socket_timeout=5) as redis, aclosing(_hear_postgresql(url)) as heard:
                async for work in heard:
                    await redis.publish(_REDIS_CHANNEL, work or _ANYTHING)
        await asyncio.sleep(_RETRY_SECONDS)


async def _hear_postgresql(url: str) -> AsyncGenerator[str | None]:
    """What there may be to do; None where that may be anything, as something was said that nobody heard."""
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=5, application_name="sluice-hints"
    ) as connection:
        await connection.execute(f"listen {_CHANNEL}")
        await connection.execute(f"listen {_EVENTS_CHANNEL}")
        yield None
        async for notice in connection.notifies():
            yield EVENTS if notice.channel == _EVENTS_CHANNEL else notice.payload


async def _hear_redis(url: str) -> AsyncGenerator[str | None]:
    """The same."""
    async with Redis.from_url(url, decode_responses=True, health_check_interval=30) as redis, redis.pubsub() as said:
        await said.subscribe(_REDIS_CHANNEL)
        async for message in said.listen():
            if message["type"] == "subscribe":
                yield None
            elif message["type"] == "message":
                yield None if message["data"] == _ANYTHING else message["data"]
