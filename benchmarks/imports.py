"""Rows per second of an import of contacts with dedupe, and what other organizations' answers take meanwhile.

Nine rows of ten are new, one speaks by its address of a contact that is there. The limit is PostgreSQL alone: the same
kind of rows by INSERT … SELECT, with all triggers, on the same stack. Other organizations list their contacts, before
and during the import, at a steady rate.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, perf_counter, sleep

import httpx

from benchmarks.load import Person, quantile, sign_up
from benchmarks.processor import taken
from benchmarks.result import BenchmarkResult
from benchmarks.search import fill
from benchmarks.servers import running_processes
from runtime.stack import Stack

_KNOWN_SHARE = 0.1
_RATE = 20.0
_QUIET_SECONDS, _PATIENCE_SECONDS = 8.0, 300.0


def run(*, rows: int = 100_000, known: int = 20_000) -> BenchmarkResult:
    """Import `rows` contacts into an organization that has `known` ones."""
    with running_processes({"api", "worker"}) as running:
        stack = running.stack
        person, other = sign_up(stack.api_url, "import"), sign_up(stack.api_url, "other")
        fill(stack, other, 5_000, seed=2)
        began = monotonic()
        names = fill(stack, person, known, seed=1)
        limit = known / (monotonic() - began)
        with _asking(stack, other) as quiet:
            sleep(_QUIET_SECONDS)
        content = _file(names, rows)
        with _asking(stack, other) as busy:
            before = taken(running, ("worker", "postgres"))
            took, counts = _import(stack, person, content)
            after = taken(running, ("worker", "postgres"))
    return BenchmarkResult(
        name="imports",
        figure=rows / took,
        unit="rows/s",
        limit=limit,
        limit_description="INSERT … SELECT with all triggers",
        details={
            "rows": ", ".join(f"{counts[name]:,} {name}" for name in ("created", "updated", "unchanged", "failed")),
            "processor time per row": ", ".join(
                f"{name} {(after[name] - before[name]) / rows * 1e6:.0f} µs" for name in before
            ),
            "others' p95": f"{quantile(busy, 0.95) * 1000:.0f} ms, before {quantile(quiet, 0.95) * 1000:.0f} ms",
            "others' p50": f"{quantile(busy, 0.5) * 1000:.0f} ms, before {quantile(quiet, 0.5) * 1000:.0f} ms",
            "target": "4,000 rows/s, others' p95 at most doubled",
        },
    )


def _file(names: list[str], rows: int) -> bytes:
    random.seed(3)
    lines = ["external_id,name,email,phone,company,source"]
    for number in range(rows):
        if random.random() < _KNOWN_SHARE:
            place = number % len(names)
            email = f"p{place + 1}@{names[place].split(' ')[1].lower()}.example"
            lines.append(f",{names[place]},{email},,,Fair")
        else:
            lines.append(f"X-{number},New Person {number},new{number}@firm{number % 997}.example,+4989{number:07},,Web")
    return "\n".join(dict.fromkeys(lines)).encode()


def _import(stack: Stack, person: Person, content: bytes) -> tuple[float, dict[str, int]]:
    with httpx.Client(base_url=stack.api_url, headers=person.headers, timeout=60) as client:
        began = monotonic()
        files, data = {"contacts": ("contacts.csv", content)}, {"options": '{"create_missing": true}'}
        job = client.post("/v1/imports", files=files, data=data).raise_for_status().json()
        while job["state"] in ("queued", "running"):
            if monotonic() - began > _PATIENCE_SECONDS:
                raise RuntimeError(f"the import has not ended: {job['counts']}")
            sleep(0.2)
            job = client.get(f"/v1/imports/{job['id']}").raise_for_status().json()
        return monotonic() - began, job["counts"]


@contextmanager
def _asking(stack: Stack, person: Person) -> Iterator[list[float]]:
    """Seconds of each answer to another organization, asked at a steady rate until the block ends."""
    took: list[float] = []
    stop = Event()

    def ask() -> None:
        with httpx.Client(base_url=stack.api_url, headers=person.headers, timeout=60) as client:
            due = perf_counter()
            while not stop.is_set():
                client.get("/v1/contacts", params={"limit": 50}).raise_for_status()
                took.append(perf_counter() - due)  # from when it was due, so that a stall counts for all that it delays
                due = max(due + 1 / _RATE, perf_counter() - 1.0)
                sleep(max(due - perf_counter(), 0.0))

    thread = Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()
