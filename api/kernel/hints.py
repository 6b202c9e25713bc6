"""Hints that there may be something to do, for loops that would else ask PostgreSQL again and again whether there is.

PostgreSQL notifies: of events by itself, of what else a slice hands to its worker where that calls `hint`. A hint may
get lost with its connection, so whoever waits for one looks by itself every few seconds all the same.
"""

import asyncio
import threading
from contextlib import suppress

import psycopg
from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import UnitOfWork

#: Announced by PostgreSQL itself whenever events are committed.
EVENTS = "events"

#: What PostgreSQL says where an organization has something to tell its listeners; the organization's id follows.
LIVE = "live:"

_CHANNEL, _EVENTS_CHANNEL = "sluice_work", "sluice_events"
_NOTIFY = compiled(text(f"select pg_notify('{_CHANNEL}', :work)"))
_RETRY_SECONDS = 2.0
#: How long a stop may go unnoticed. One look is for all loops of a process.
_LOOK_SECONDS = 0.25


def hint(unit: UnitOfWork, work: str) -> None:
    """Tell whoever waits for `work`, as the unit commits."""
    unit.execute(_NOTIFY, work=work)


class Hints:
    """Listens on one connection, made with the first bell, for all loops of a process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bells: list[Bell] = []
        self._listening: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._stops: set[threading.Event] = set()

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
        tasks = [task for task in (self._listening, self._looking) if task is not None]
        self._listening = self._looking = None
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def wake_at(self, stop: threading.Event) -> None:
        """Let all that wait go on as soon as `stop` is set, in whatever thread or signal that happens."""
        self._stops.add(stop)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while self._stops:
            if over := {stop for stop in self._stops if stop.is_set()}:
                self._stops -= over
                self._ring(None)
            await asyncio.sleep(_LOOK_SECONDS)
        self._looking = None

    async def _listen(self) -> None:
        while True:
            with suppress(psycopg.Error, OSError):
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=5, application_name="sluice-hints"
                ) as connection:
                    await connection.execute(f"listen {_CHANNEL}")
                    await connection.execute(f"listen {_EVENTS_CHANNEL}")
                    self._ring(None)  # what was said meanwhile nobody has heard
                    async for notice in connection.notifies():
                        self._ring(EVENTS if notice.channel == _EVENTS_CHANNEL else notice.payload)
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
