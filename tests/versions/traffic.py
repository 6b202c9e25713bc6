"""People who work with an API at a steady rate, whatever becomes of the answers; and a look at the locks meanwhile."""

import asyncio
import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from tests.eventually import eventually

_STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")


@dataclass
class Traffic:
    """Requests of one signed-in person: half of them writes. `answers` counts by status; 0 is no answer at all.
    `failures` tells of those that should not be: status, request, seconds.
    """

    url: str
    token: str
    pipeline: dict[str, Any]
    rate: float
    #: Fewer than the API's connections to PostgreSQL: on a machine that cannot keep the rate, requests wait here, and
    #: not for a connection until the API gives up.
    at_once: int
    answers: Counter[int] = field(default_factory=Counter)
    created: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(5))
    _fresh: deque[str] = field(default_factory=deque)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the rate for as long as the block lasts, then wait for the last answers."""
        stop = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._work(stop)))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(120)
        assert not thread.is_alive()

    def wait_for(self, count: int) -> None:
        """Wait until that many further requests have been answered."""
        wanted = self.answers.total() + count
        eventually(lambda: self.answers.total() >= wanted, seconds=120, what=f"{count} answers")

    async def _work(self, stop: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60) as client,
            asyncio.TaskGroup() as requests,
        ):
            due, places = loop.time(), asyncio.Semaphore(self.at_once)
            while not stop.is_set():
                await places.acquire()
                requests.create_task(self._request(client)).add_done_callback(lambda _done: places.release())
                due += 1 / self.rate
                await asyncio.sleep(max(0.0, due - loop.time()))

    async def _request(self, client: httpx.AsyncClient) -> None:
        method, path, body = self._next()
        began, status, text = time.monotonic(), 0, ""
        try:
            answer = await client.request(method, path, json=body)
            status, text = answer.status_code, answer.text
        except httpx.TransportError as error:
            text = repr(error)
        if status == 201:
            self.created.append(json.loads(text)["id"])
            self._fresh.append(self.created[-1])
        elif status != 200:
            self.failures.append(f"{status} {method} {path} after {time.monotonic() - began:.1f} s: {text}")
        self.answers[status] += 1

    def _next(self) -> tuple[str, str, dict[str, Any] | None]:
        dice = self._random.random()
        if dice < 0.3 or not self._fresh:
            return "POST", "/v1/deals", {"pipeline_id": self.pipeline["id"], "title": "Deal", "amount_minor": 100}
        if dice < 0.5:
            stage = [stage["id"] for stage in self.pipeline["stages"] if stage["kind"] == "open"][1]
            return "POST", f"/v1/deals/{self._fresh.popleft()}/move", {"stage_id": stage}
        if dice < 0.8:
            return "GET", f"/v1/deals/{self._random.choice(self.created)}", None
        return "GET", "/v1/deals?limit=20", None


_LOCKS = """
select l.pid, l.virtualtransaction, l.relation::regclass::text, extract(epoch from clock_timestamp())
from pg_locks l join pg_stat_activity a using (pid)
where a.usename = 'sluice_owner' and l.granted and l.mode = any(%s) and l.relation = any(%s)
"""
_WAITS = "select coalesce(max(extract(epoch from clock_timestamp() - waitstart)), 0) from pg_locks where not granted"


@dataclass
class LockWatch:
    """The longest time, in seconds, that the owner held a strong lock on a table that was there before, and that
    anybody waited for a lock on one.
    """

    admin_url: str
    held: dict[str, float] = field(default_factory=dict)
    longest_wait: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look for as long as the block lasts."""
        stop = threading.Event()
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            tables = [row[0] for row in connection.execute("select oid from pg_class where relnamespace = 2200")]
            thread = threading.Thread(target=self._watch, args=(connection, tables, stop))
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join(30)

    def _watch(self, connection: psycopg.Connection, tables: list[int], stop: threading.Event) -> None:
        since: dict[tuple[int, str, str], float] = {}
        while not stop.wait(0.02):
            for pid, transaction, table, now in connection.execute(_LOCKS, (list(_STRONG), tables)):
                first = since.setdefault((pid, transaction, table), float(now))
                self.held[table] = max(self.held.get(table, 0.0), float(now) - first)
            row = connection.execute(_WAITS).fetchone()
            self.longest_wait = max(self.longest_wait, float(row[0]) if row else 0.0)
