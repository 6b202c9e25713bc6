"""Reads per second over HTTP: fifty deals of a stage out of a million in fifty organizations, and who is signed in.

The limit is a bare endpoint that reads the same rows.
"""

from benchmarks.beside_bare import contest
from benchmarks.http_driver import HttpRequest
from benchmarks.load import sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.seeding import fill


def run(*, deals: int = 1_000_000, organizations: int = 50, seconds: float = 15.0) -> list[BenchmarkResult]:
    """Measure both on a stack of its own, everybody asking in turn."""
    with contest() as both:
        people = [sign_up(both.stack.api_url, f"bench-{number}") for number in range(organizations)]
        fill(both.stack.postgres.url(database="sluice"), people, deals=deals, with_events=False)
        for person in people:
            person.sign_in_again(both.stack.api_url)
        of_a_stage = both.measure(
            "reads: 50 deals of a stage",
            [HttpRequest("GET", f"/v1/deals?stage_id={one.open_stages[1]}&limit=50", one.headers) for one in people],
            [
                HttpRequest("GET", f"/deals?organization_id={one.organization_id}&stage_id={one.open_stages[1]}")
                for one in people
            ],
            seconds=seconds,
        )
        me = both.measure(
            "reads: /v1/me",
            [HttpRequest("GET", "/v1/me", one.headers) for one in people],
            [HttpRequest("GET", f"/me?organization_id={one.organization_id}&user_id={one.user_id}") for one in people],
            seconds=seconds,
        )
        return [of_a_stage, me]
