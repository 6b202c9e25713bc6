"""The API beside a bare endpoint on the same database: both are asked by turns, so that noise meets both alike."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.http_driver import DRIVER, Driven, HttpRequest, drive
from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack
from runtime.home import PROJECT
from runtime.process import ManagedProcess, ProcessSpec, free_port
from runtime.stack import Stack

_CONNECTIONS = 16
_ROUNDS = 3
_WARM_UP_SECONDS = 2.0
_WORKERS = os.cpu_count() or 1
#: Limits are taken from as always; of one person who asks without a pause they are too large to be reached.
_SETTINGS = {
    "SLUICE_API_WORKERS": str(_WORKERS),
    "SLUICE_LIMIT_ACCOUNT_PER_MINUTE": "100000000",
    "SLUICE_LIMIT_ORGANIZATION_PER_MINUTE": "100000000",
}


@dataclass(frozen=True)
class Contest:
    """A stack whose API has a worker per processor, and as many bare endpoints."""

    stack: Stack
    bare_urls: Sequence[str]

    def measure(
        self, name: str, ours: Sequence[HttpRequest], bare: Sequence[HttpRequest], *, seconds: float
    ) -> BenchmarkResult:
        """Answers per second of both, each asked for `seconds` in all, by turns."""
        urls = [self.stack.api_url] * _WORKERS

        def ask(urls: Sequence[str], requests: Sequence[HttpRequest], seconds: float) -> Driven:
            return drive(urls, requests, connections=_CONNECTIONS, seconds=seconds)

        ask(urls, ours, _WARM_UP_SECONDS)
        ask(self.bare_urls, bare, _WARM_UP_SECONDS)
        turn = seconds / _ROUNDS
        rounds = [(ask(urls, ours, turn), ask(self.bare_urls, bare, turn)) for _ in range(_ROUNDS)]
        figure, limit = (_mean([one.rate for one in side]) for side in zip(*rounds, strict=True))
        return BenchmarkResult(
            name=name,
            figure=figure,
            unit="requests/s",
            limit=limit,
            limit_description="bare FastAPI and psycopg",
            details={
                "p95": f"{_mean([one.p95_ms for one, _ in rounds]):.1f} ms; bare"
                f" {_mean([one.p95_ms for _, one in rounds]):.1f} ms",
                "rounds": ", ".join(f"{one.rate:,.0f}/{other.rate:,.0f}" for one, other in rounds),
                "driven by": f"{DRIVER}, {_CONNECTIONS} connections, {_WORKERS} workers",
            },
        )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@contextmanager
def contest() -> Iterator[Contest]:
    """Both, running on a database of their own."""
    with running_stack({"api"}, settings=_SETTINGS) as stack, ExitStack() as running:
        ports = [free_port() for _ in range(_WORKERS)]
        started = [ManagedProcess(_bare(stack, port), log_path=stack.home.logs / f"bare-{port}.log") for port in ports]
        for process in started:
            process.start()
            running.callback(process.stop)
        for process in started:
            process.wait_ready()
        yield Contest(stack, [f"http://127.0.0.1:{port}" for port in ports])


def _bare(stack: Stack, port: int) -> ProcessSpec:
    url = stack.postgres.url(database="sluice")  # a superuser, whom row-level security does not hold
    return ProcessSpec(
        name="bare",
        argv=[sys.executable, "-m", "benchmarks.bare_api", f"--port={port}", f"--url={url}"],
        cwd=PROJECT,
        port=port,
        ready=lambda: _answers(f"http://127.0.0.1:{port}/openapi.json"),
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  # a loopback URL of ours
            return int(response.status) == 200
    except (urllib.error.URLError, OSError):
        return False
