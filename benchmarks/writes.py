"""Deals created per second over HTTP: signed in, under row-level security, each with an Idempotency-Key and an event.

The limit is a bare endpoint that writes the same three rows.
"""

import json

from benchmarks.beside_bare import contest
from benchmarks.http_driver import HttpRequest
from benchmarks.load import sign_up
from benchmarks.result import BenchmarkResult

_JSON = {"Content-Type": "application/json"}


def run(*, seconds: float = 15.0) -> BenchmarkResult:
    """Measure both on a stack of its own."""
    with contest() as both:
        person = sign_up(both.stack.api_url, "bench")
        deal = {"pipeline_id": person.pipeline["id"], "title": "400 seats for Acme", "amount_minor": 1_250_000}
        bare = deal | {
            "organization_id": str(person.organization_id),
            "user_id": str(person.user_id),
            "stage_id": person.open_stages[0],
        }
        return both.measure(
            "writes",
            [HttpRequest("POST", "/v1/deals", person.headers | _JSON, json.dumps(deal), has_key=True)],
            [HttpRequest("POST", "/deals", _JSON, json.dumps(bare), has_key=True)],
            seconds=seconds,
        )
