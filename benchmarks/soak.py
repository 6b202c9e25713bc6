"""Fifty organizations with a million deals, fifty requests a second for a while, everything running: nothing may fail,
slow down or grow.

Four of five requests read. The figure is the reads' p95; its limit is the same load, in the same run, on the same stack
before the deals were there. Memory is sampled per process; its slope is the median of the slopes between the least of
each minute of the later two thirds (Theil and Sen), when caches are warm: what is never given back raises the least,
and what a refresh takes for seconds does not tilt it.
"""

import json
import random
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic

import polars as pl
import psutil
import psycopg

from benchmarks.load import Answer, Person, Request, failures, offer, quantile, sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.seeding import fill, wait_until_fresh
from benchmarks.servers import RunningStack, running_processes

_BEFORE_SECONDS = 30.0
_SAMPLE_SECONDS = 10.0  # a look costs tens of milliseconds of the processors that are measured
_SAMPLES_A_MINUTE = 6
_SLOWEST_SHOWN = 4


def run(
    *, minutes: float = 2.0, deals: int = 1_000_000, organizations: int = 50, rate: float = 50.0
) -> BenchmarkResult:
    """Seed and soak for `minutes`."""
    with running_processes() as running:
        people = [sign_up(running.stack.api_url, f"soak-{number}") for number in range(organizations)]
        work = _Work(people)
        before = _soak(running, work, rate=rate, seconds=_BEFORE_SECONDS)
        admin_url = running.stack.postgres.url(database="sluice")
        seeded = fill(admin_url, people, deals=deals)
        settled = wait_until_fresh(running.stack, people[-1])  # seeded last
        for person in people:
            person.sign_in_again(running.stack.api_url)
        began = datetime.now(UTC)
        with _weighing(running) as samples:
            answers = _soak(running, work, rate=rate, seconds=minutes * 60)
        parked = _parked(running)
        loading = _loading(running, since=began)
    reads = [answer.seconds for answer in answers if answer.kind == "read"]
    writes = [answer.seconds for answer in answers if answer.kind == "write"]
    return BenchmarkResult(
        name="soak",
        figure=quantile(reads, 0.95) * 1000,
        unit="ms",
        limit=quantile((answer.seconds for answer in before if answer.kind == "read"), 0.95) * 1000,
        limit_description="p95 of the same reads before the deals were there, same run",
        details={
            "load": f"{len(answers)} requests in {minutes:g} min, {deals:,} deals, {organizations} organizations",
            "failed": f"{failures(answers)}, parked events {parked}",
            "reads, p50 and p99": f"{quantile(reads, 0.5) * 1000:.1f} ms, {quantile(reads, 0.99) * 1000:.1f} ms",
            "writes, p50, p95 and p99": ", ".join(f"{quantile(writes, share) * 1000:.1f} ms" for share in _SHARES),
            "slowest, p95": _slowest(answers),
            "from the stamp of an event to its batch for raw, p50, p95 and p99": _seconds(loading),
            "memory": _growth(samples),
            "seeding": f"{seeded:.0f} s, then {settled:.0f} s until the marts had all of it",
            "targets": "reads 150 ms, writes 250 ms, 0 failed, memory below 1 %/h",
        },
    )


_SHARES = (0.5, 0.95, 0.99)


@dataclass
class _Work:
    """What people do all day: four reads to one write, each in an organization of their own."""

    people: Sequence[Person]
    _random: random.Random = field(default_factory=lambda: random.Random(11))
    _made: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=500)))
    _fresh: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))

    def next_request(self) -> tuple[Person, Request]:
        """A person, and what they do."""
        person = self._random.choice(self.people)
        return person, self._write(person) if self._random.random() < 0.2 else self._read(person)

    def _write(self, person: Person) -> Request:
        fresh = self._fresh[person.email]
        if fresh and self._random.random() < 0.5:
            return Request("write", "POST", f"/v1/deals/{fresh.popleft()}/move", {"stage_id": person.open_stages[1]})
        body = {"pipeline_id": person.pipeline["id"], "title": "Soak", "amount_minor": self._random.randrange(10**6)}
        return Request("write", "POST", "/v1/deals", body, lambda answer: self._remember(person, answer))

    def _read(self, person: Person) -> Request:
        made = self._made[person.email]
        pipeline, stage = person.pipeline["id"], self._random.choice(person.open_stages)
        paths = [
            "/v1/deals?limit=50",
            f"/v1/deals?limit=50&pipeline_id={pipeline}&stage_id={stage}",
            f"/v1/deals?limit=50&status=won&owner_id={person.user_id}",
            "/v1/deals?limit=20&q=deal 77",
            f"/v1/metrics/funnel?pipeline_id={pipeline}&from=2026-01-01&to=2027-01-01",
            "/v1/pipelines",
            "/v1/me",
        ]
        if made:
            deal = self._random.choice(made)
            paths += [f"/v1/deals/{deal}", f"/v1/deals/{deal}/history"] * 3
        return Request("read", "GET", self._random.choice(paths))

    def _remember(self, person: Person, answer: bytes) -> None:
        deal_id = json.loads(answer)["id"]
        self._made[person.email].append(deal_id)
        self._fresh[person.email].append(deal_id)


def _soak(running: RunningStack, work: _Work, *, rate: float, seconds: float) -> list[Answer]:
    return offer(running.stack.api_url, work.next_request, rate=rate, until=lambda passed: passed >= seconds)


def _slowest(answers: Sequence[Answer]) -> str:
    """The kinds of request that take longest, ids left out."""
    groups: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        parts = ["{id}" if len(part) == 36 else part for part in answer.path.split("/")]
        groups[f"{answer.kind} {'/'.join(parts)}"].append(answer.seconds)
    ranked = sorted(groups.items(), key=lambda group: -quantile(group[1], 0.95))[:_SLOWEST_SHOWN]
    return ", ".join(f"{name} {quantile(times, 0.95) * 1000:.0f} ms" for name, times in ranked)


@contextmanager
def _weighing(running: RunningStack) -> Iterator[dict[str, list[tuple[float, int]]]]:
    """Samples of (seconds, bytes) of each process and its children, for as long as the block lasts."""
    stop, samples, began = Event(), defaultdict[str, list[tuple[float, int]]](list), monotonic()

    def weigh() -> None:
        while not stop.wait(_SAMPLE_SECONDS):
            for name, process in running.processes.items():
                if (weight := _weight(process.pid)) is not None:
                    samples[name].append((monotonic() - began, weight))

    thread = Thread(target=weigh)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _weight(pid: int | None) -> int | None:
    """Memory that a process holds with its children, what they share with others in equal parts; None when it is gone.

    Pages of files are left out: they are the page cache's, and count less for a process whenever another one maps them.
    """
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return sum(_held(member.pid) for member in family)
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def _held(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kilobytes) * 1024 for kilobytes in re.findall(r"Pss_(?:Anon|Shmem): +(\d+) kB", rollup))


def _growth(samples: Mapping[str, Sequence[tuple[float, int]]]) -> str:
    """Each process's least memory of a minute, how it grows in percent per hour, and the most it ever had."""
    found = []
    for name, taken in samples.items():
        later = taken[len(taken) // 3 :]
        minutes = [later[first : first + _SAMPLES_A_MINUTE] for first in range(0, len(later), _SAMPLES_A_MINUTE)]
        least = [min(minute, key=itemgetter(1)) for minute in minutes]
        if len(least) < 2:
            continue
        slope = median((after[1] - before[1]) / (after[0] - before[0]) for before, after in combinations(least, 2))
        usual, most = median(weight for _, weight in least), max(weight for _, weight in later)
        found.append(f"{name} {usual / 1e6:.0f} MB {slope * 3600 / usual:+.1%}/h (at most {most / 1e6:.0f} MB)")
    return ", ".join(found)


def _loading(running: RunningStack, *, since: datetime) -> list[float]:
    """Seconds from when PostgreSQL stamped an event until the loader did, of the events that are in raw."""
    events = pl.scan_delta(str(running.stack.home.warehouse / "raw" / "events")).filter(pl.col("recorded_at") >= since)
    waited = events.select((pl.col("loaded_at") - pl.col("recorded_at")).dt.total_microseconds()).collect()
    return [microseconds / 1e6 for microseconds in waited.to_series()]


def _seconds(times: Sequence[float]) -> str:
    return ", ".join(f"{quantile(times, share):.2f} s" for share in _SHARES)


def _parked(running: RunningStack) -> int:
    with psycopg.connect(running.stack.environment()["SLUICE_DATABASE_RELAY_URL"]) as connection:
        row = connection.execute("select count(*) from outbox where parked_reason is not null").fetchone()
    return int(row[0]) if row else 0
