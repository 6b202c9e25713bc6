"""How long a figure takes over HTTP that was asked before, in the same version of the warehouse: p95, one at a time.

A funnel of twenty thousand deals, when the figures have come to rest. Beside its wall time stands what it takes of
the API's processor time, which other work on the machine does not change. The limit is `/v1/me` by turns with it: what
any request costs.
"""

from collections.abc import Mapping
from statistics import median
from time import perf_counter

import httpx

from benchmarks.load import Person, quantile, sign_up
from benchmarks.processor import taken
from benchmarks.result import BenchmarkResult
from benchmarks.seeding import fill, wait_until_fresh
from benchmarks.servers import RunningStack, running_processes

_WARM_UP = 20
_TURN = 50  # requests of one kind, then of the other


def run(*, deals: int = 20_000, requests: int = 1_000) -> BenchmarkResult:
    """Fill a stack of its own, let the figures come, and ask."""
    # limits are taken from as always; of one person who asks without a pause they are too large to be reached
    limits = {f"SLUICE_LIMIT_{whose}_PER_MINUTE": "100000000" for whose in ("ACCOUNT", "ORGANIZATION")}
    with running_processes({"broker", "relay", "loader", "refresh", "api"}, settings=limits) as running:
        person = sign_up(running.stack.api_url, "again")
        fill(running.stack.postgres.url(database="sluice"), [person], deals=deals)
        wait_until_fresh(running.stack, person)
        return _measure(running, person, requests)


def _measure(running: RunningStack, person: Person, requests: int) -> BenchmarkResult:
    funnel = {"pipeline_id": person.pipeline["id"], "from": "2020-01-01", "to": "2030-01-01"}
    took: dict[str, list[float]] = {"funnel": [], "me": []}
    spent = {"funnel": 0.0, "me": 0.0}
    with httpx.Client(base_url=running.stack.api_url, headers=person.headers, timeout=60) as client:
        asks: Mapping[str, httpx.Request] = {
            "funnel": client.build_request("GET", "/v1/metrics/funnel", params=funnel),
            "me": client.build_request("GET", "/v1/me"),
        }
        for request in asks.values():
            for _ in range(_WARM_UP):
                client.send(request).raise_for_status()
        entered = client.send(asks["funnel"]).json()["rows"][0]["entered"]
        for _ in range(-(-requests // _TURN)):
            for name, request in asks.items():
                before = taken(running, ["api"])["api"]
                for _ in range(_TURN):
                    began = perf_counter()
                    client.send(request).raise_for_status()
                    took[name].append((perf_counter() - began) * 1000)
                spent[name] += taken(running, ["api"])["api"] - before
    funnels, others = took["funnel"], took["me"]
    return BenchmarkResult(
        name="asked_again",
        figure=quantile(funnels, 0.95),
        unit="ms",
        limit=quantile(others, 0.95),
        limit_description="/v1/me by turns with it",
        details={
            "p50": f"{median(funnels):.1f} ms; /v1/me {median(others):.1f} ms",
            "the API's processor time": f"{spent['funnel'] / len(funnels) * 1000:.1f} ms each; /v1/me"
            f" {spent['me'] / len(others) * 1000:.1f} ms",
            "asked": f"{len(funnels):,} times, of {entered:,} deals",
            "target": "30 ms",
        },
    )
