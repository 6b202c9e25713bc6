"""How long a page of the board takes over HTTP: 50 deals of one stage with custom fields, p95 at 50 requests a second.

A million deals in fifty organizations, each with a number, a choice and a day of its own, and a field that is computed
of them. Times count from when a request was due. The limit is `/v1/me` at the same rate: what any request costs.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep
from typing import Any

import httpx
import psycopg

from benchmarks.load import Person, quantile, sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.seeding import fill
from benchmarks.servers import running_stack

_ASKING = 8
_PAGE = 50
_CUSTOM = """
update deals set custom = jsonb_build_object(
    %(seats)s::text, (amount_minor %% 400) + 1, %(tier)s::text, %(choice)s::text, %(renewal)s::text, '2026-05-01')
where organization_id = %(organization)s
"""


def run(
    *, deals: int = 1_000_000, organizations: int = 50, rate: float = 50.0, seconds: float = 20.0
) -> BenchmarkResult:
    """Fill a stack of its own, then ask for pages of random stages, and for who is signed in."""
    with running_stack({"api"}) as stack:
        people = [sign_up(stack.api_url, f"board-{number}") for number in range(organizations)]
        admin_url = stack.postgres.url(database="sluice")
        fill(admin_url, people, deals=deals, with_events=False)
        for person in people:
            _fill_custom(stack.api_url, admin_url, person)
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute("vacuum analyze deals, custom_fields")
        for person in people:
            person.sign_in_again(stack.api_url)
        _ask(stack.api_url, people, rate=rate, seconds=3.0, is_board=True)
        board, sizes = _ask(stack.api_url, people, rate=rate, seconds=seconds, is_board=True)
        me, _ = _ask(stack.api_url, people, rate=rate, seconds=min(seconds, 10.0), is_board=False)
    return BenchmarkResult(
        name="board",
        figure=quantile(board, 0.95) * 1000,
        unit="ms",
        limit=quantile(me, 0.95) * 1000,
        limit_description=f"/v1/me at {rate:g}/s",
        details={
            "pages": f"{len(board)}, p50 {quantile(board, 0.5) * 1000:.1f} ms, of {sum(sizes) / len(sizes):.0f} deals",
            "target": "40 ms",
        },
    )


def _fill_custom(api_url: str, admin_url: str, person: Person) -> None:
    with httpx.Client(base_url=api_url, headers=person.headers, timeout=60) as client:

        def made(name: str, type_: str, **more: object) -> dict[str, Any]:
            body = {"record_kind": "deal", "name": name, "type": type_, "is_personal": False, **more}
            found: dict[str, Any] = client.post("/v1/custom-fields", json=body).raise_for_status().json()
            return found

        seats, renewal = made("Seats", "number"), made("Renewal", "date")
        tier = made("Tier", "choice", choices=[{"label": "Gold"}, {"label": "Silver"}])
        made("Per seat", "computed", expression='deal.amount / deal.custom["Seats"]')
    choice = tier["choices"][0]
    values = {"seats": seats["id"], "tier": tier["id"], "choice": choice["id"], "renewal": renewal["id"]}
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # nobody searches here
        connection.execute(_CUSTOM, {**values, "organization": person.organization_id})


def _ask(
    api_url: str, people: Sequence[Person], *, rate: float, seconds: float, is_board: bool
) -> tuple[list[float], list[int]]:
    """Seconds of each answer from when it was due, and how many deals each had."""
    took: list[float] = []
    sizes: list[int] = []
    began, count = perf_counter(), int(rate * seconds)

    def ask(first: int) -> None:
        chosen = random.Random(first)
        with httpx.Client(base_url=api_url, timeout=60) as client:
            for number in range(first, count, _ASKING):
                due = began + number / rate
                sleep(max(0.0, due - perf_counter()))
                person = chosen.choice(people)
                page = f"/v1/deals?stage_id={chosen.choice(person.open_stages)}&limit={_PAGE}"
                answer = client.get(page if is_board else "/v1/me", headers=person.headers).raise_for_status()
                took.append(perf_counter() - due)
                sizes.append(len(answer.json()["items"]) if is_board else 1)

    with ThreadPoolExecutor(_ASKING) as pool:
        list(pool.map(ask, range(_ASKING)))
    return took, sizes
