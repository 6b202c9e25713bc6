"""How long after its commit a deal is in `/v1/metrics/funnel` while others write: p95 over probes, whole stack.

One probe: create a deal in a pipeline of the probe's own, then ask the funnel until it counts it. The limit is the bare
refresh cycle (dbt build and tests, candidate checks, publishing) as the pipeline itself reports it in the same run: an
event that just missed a cycle waits for that one and for the next.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import httpx

from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack
from runtime.demo import DEMO_PASSWORD, fill

_OWNER = "owner@example.com"
_PROBES = 20
_WRITERS = 4
_WRITER_PAUSE_SECONDS = 0.5
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 120.0
_FIRST_PATIENCE_SECONDS = 900.0  # all of the demo comes before
_SEED = 20261122
_STAGES = [
    {"name": "First", "kind": "open"},
    {"name": "Second", "kind": "open"},
    {"name": "Won", "kind": "won"},
    {"name": "Lost", "kind": "lost"},
]


def run(
    *, api_url: str | None = None, email: str = _OWNER, password: str = DEMO_PASSWORD, probes: int = _PROBES
) -> BenchmarkResult:
    """Measure on the running stack behind `api_url`, or on a whole stack of its own filled with the demo."""
    if api_url is not None:
        return _measure(api_url, email=email, password=password, probes=probes)
    with running_stack() as stack:
        fill(stack.api_url, say=lambda _text: None)
        return _measure(stack.api_url, email=email, password=password, probes=probes)


@dataclass
class _Person:
    """A signed-in person; signs in again when the token ends."""

    api_url: str
    email: str
    password: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.api_url, timeout=60)
        self._sign_in()

    def call(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401  # JSON
        """An answer's JSON; raises what the API refuses."""
        answer = self.http.request(method, path, **options)
        if answer.status_code == 401:
            self._sign_in()
            answer = self.http.request(method, path, **options)
        if answer.is_error:
            raise RuntimeError(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def _sign_in(self) -> None:
        answer = self.http.post("/v1/auth/login", json={"email": self.email, "password": self.password})
        answer.raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _measure(api_url: str, *, email: str, password: str, probes: int) -> BenchmarkResult:
    person = _Person(api_url, email, password)
    name = f"Freshness {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    pipeline = person.call("POST", "/v1/pipelines", json={"name": name, "stages": _STAGES})
    pause = random.Random(_SEED)
    delays: list[float] = []
    cycles: list[float] = []
    with _writing(api_url, email=email, password=password) as written:
        begun = time.monotonic()
        # the pipeline itself must arrive first: not measured
        first = _probe(person, pipeline["id"], count=1, patience=_FIRST_PATIENCE_SECONDS)
        for number in range(2, probes + 2):
            time.sleep(pause.uniform(0, 3))  # probes must not keep step with the cycles
            delays.append(_probe(person, pipeline["id"], count=number))
            cycles.extend(_last_cycle(person))
        rate = len(written) / (time.monotonic() - begun)
    return BenchmarkResult(
        name="freshness",
        figure=_quantile(delays, 0.95),
        unit="s",
        limit=median(cycles),
        limit_description="one bare refresh cycle: build, tests, checks, publish; median of the same run",
        details={
            "p50": f"{_quantile(delays, 0.5):.1f} s",
            "longest": f"{max(delays):.1f} s",
            "first": f"{first:.1f} s after the demo was filled",
            "load": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors",
            "probes": len(delays),
            "longest cycle": f"{max(cycles):.1f} s",
            "writes meanwhile": f"{rate:.1f}/s by {_WRITERS} people",
        },
    )


def _probe(person: _Person, pipeline_id: str, *, count: int, patience: float = _PATIENCE_SECONDS) -> float:
    """Seconds from a deal's commit until the funnel counts `count` deals."""
    today = datetime.now(UTC).date()
    question = {
        "pipeline_id": pipeline_id,
        "from": str(today - timedelta(days=2)),
        "to": str(today + timedelta(days=2)),
    }
    person.call("POST", "/v1/deals", json={"pipeline_id": pipeline_id, "title": "Probe", "amount_minor": 100})
    committed = time.monotonic()
    while True:
        answer = person.http.get("/v1/metrics/funnel", params=question)
        if answer.is_success and max((row["entered"] for row in answer.json()["rows"]), default=0) >= count:
            return time.monotonic() - committed
        if time.monotonic() - committed > patience:
            raise RuntimeError(f"after {patience:g} s the funnel answers {answer.status_code}: {answer.text}")
        time.sleep(_POLL_SECONDS)


def _last_cycle(person: _Person) -> list[float]:
    last = person.call("GET", "/v1/freshness")["last_refresh"]
    if last is None or last["finished_at"] is None:
        return []
    span = datetime.fromisoformat(last["finished_at"]) - datetime.fromisoformat(last["started_at"])
    return [span.total_seconds()]


@contextmanager
def _writing(api_url: str, *, email: str, password: str) -> Iterator[list[float]]:
    """People who create and move deals meanwhile; yields the growing list of their writes' seconds."""
    stop, written = threading.Event(), list[float]()
    people = [_Person(api_url, email, password) for _ in range(_WRITERS)]
    pipeline = people[0].call("GET", "/v1/pipelines")["items"][0]
    stages = [stage["id"] for stage in pipeline["stages"] if stage["kind"] == "open"]

    def write(person: _Person) -> None:
        while not stop.is_set():
            body = {"pipeline_id": pipeline["id"], "title": "Written meanwhile", "amount_minor": 5_000}
            deal = person.call("POST", "/v1/deals", json=body)
            written.append(time.monotonic())
            for stage_id in stages[1:3]:
                stop.wait(_WRITER_PAUSE_SECONDS)
                person.call("POST", f"/v1/deals/{deal['id']}/move", json={"stage_id": stage_id})
                written.append(time.monotonic())
            stop.wait(_WRITER_PAUSE_SECONDS)

    threads = [threading.Thread(target=write, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]
