"""People go on writing while the broker is away: how long their writes take, against the same minutes with a broker.

Fifty writes a second reach the API all the time. The broker is killed, stays away, and comes back empty; the relay then
brings what has waited, while people go on. Nobody may notice: no answer 5xx, the API no slower, the outbox as before.
"""

import json
import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from time import monotonic, sleep

import psycopg

from benchmarks.load import Answer, Person, Request, failures, offer, offer_until, quantile, sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.servers import RunningStack, running_processes
from runtime.process import ManagedProcess

_BASELINE_SECONDS = 20.0
_PATIENCE_SECONDS = 900.0
_LOOK_SECONDS = 0.1

_PENDING = "select count(*) from outbox where published_at is null and parked_reason is null"


def run(*, seconds: float = 60.0, rate: float = 50.0) -> BenchmarkResult:
    """Keep the broker away for `seconds` under `rate` writes a second."""
    with running_processes({"broker", "relay", "loader", "api"}) as running:
        person = sign_up(running.stack.api_url, "outage")
        writes = _Writes(person)
        with _writing(running, writes, rate) as warm_up:
            sleep(3)
        with _writing(running, writes, rate) as baseline:
            sleep(max(_BASELINE_SECONDS, seconds / 3))
            usual = _pending(running)
        with _writing(running, writes, rate) as meanwhile:
            running.processes["broker"].kill()
            sleep(seconds)
        with _writing(running, writes, rate) as afterwards:
            drain = _drain(running, running.processes["broker"], usual=max(usual, int(rate)))
    everything = [*warm_up, *baseline, *meanwhile, *afterwards]
    return BenchmarkResult(
        name="outage",
        figure=quantile((answer.seconds for answer in meanwhile), 0.95) * 1000,
        unit="ms",
        limit=quantile((answer.seconds for answer in baseline), 0.95) * 1000,
        limit_description="p95 of a write through the API with the broker there, same run",
        details={
            "without broker": f"{seconds:g} s at {rate:g} writes/s",
            "writes that failed": f"{failures(everything)} of {len(everything)}",
            "p95 while it drains": f"{quantile((answer.seconds for answer in afterwards), 0.95) * 1000:.1f} ms",
            "backlog": f"{drain.backlog} events, usual {usual}, left {drain.left}",
            "from the broker's return to the first event": f"{drain.waited:.1f} s",
            "drained in": f"{drain.took:.1f} s: {drain.published / drain.took:,.0f} events/s,"
            f" {drain.published / drain.took / rate:.1f} times what arrives",
        },
    )


@dataclass
class _Writes:
    """The next write: a deal is made, then moved."""

    person: Person
    _random: random.Random = field(default_factory=lambda: random.Random(7))
    _made: deque[str] = field(default_factory=deque)

    def next_request(self) -> tuple[Person, Request]:
        """One of two in turn, at random."""
        if self._made and self._random.random() < 0.5:
            body = {"stage_id": self.person.open_stages[1]}
            return self.person, Request("write", "POST", f"/v1/deals/{self._made.popleft()}/move", body)
        deal = {"pipeline_id": self.person.pipeline["id"], "title": "Outage", "amount_minor": 100}
        return self.person, Request("write", "POST", "/v1/deals", deal, self._remember)

    def _remember(self, answer: bytes) -> None:
        self._made.append(json.loads(answer)["id"])


@contextmanager
def _writing(running: RunningStack, writes: _Writes, rate: float) -> Iterator[list[Answer]]:
    """People who write for as long as the block lasts; their answers are in the list when it has ended."""
    stop, answers = Event(), list[Answer]()
    with ThreadPoolExecutor(1) as pool:
        url = running.stack.api_url
        offered = pool.submit(offer, url, writes.next_request, rate=rate, until=offer_until(stop))
        try:
            yield answers
        finally:
            stop.set()
        answers.extend(offered.result())


@dataclass(frozen=True)
class _Drain:
    """`backlog` events waited when the broker came back, `published` went out until few were left, in `took` s."""

    backlog: int
    published: int
    left: int
    waited: float
    took: float


def _drain(running: RunningStack, broker: ManagedProcess, *, usual: int) -> _Drain:
    """Bring the broker back and wait until no more waits than usual."""
    broker.start()
    broker.wait_ready()
    returned = monotonic()
    last = backlog = _pending(running)
    first_at, begun_at = None, 0
    while True:
        pending, position = _pending(running), _position(running)
        if first_at is None and pending < last:
            first_at, backlog, begun_at = monotonic(), last, position
        if first_at is not None and pending <= usual:
            took = max(monotonic() - first_at, _LOOK_SECONDS)
            published = backlog - pending + position - begun_at
            return _Drain(backlog, published, pending, first_at - returned, took)
        if monotonic() - returned > _PATIENCE_SECONDS:
            raise RuntimeError(f"{pending} events still wait {_PATIENCE_SECONDS:g} s after the broker came back")
        last = pending
        sleep(_LOOK_SECONDS)


def _pending(running: RunningStack) -> int:
    return _number(running, _PENDING)


def _position(running: RunningStack) -> int:
    return _number(running, "select coalesce(max(position), 0) from event_log")


def _number(running: RunningStack, query: str) -> int:
    with psycopg.connect(running.stack.environment()["SLUICE_DATABASE_RELAY_URL"], autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
