"""Live updates: how long after its commit a change is told to all who listen, by thousands of sockets of one process.

The limit is the target: 300 ms for 95 of 100 pushes, from the answer to the write, which comes after its commit.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from benchmarks.load import Person, sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack

_OF_A_SIGN_IN = 20
#: An address has so many places for those who have not shown yet who they are.
_AT_ONCE = 50
_OPENING_SECONDS = 20.0
_TARGET_MS = 300.0


def run(*, sockets: int = 2_000, organizations: int = 20, writes: int = 200, a_second: float = 5.0) -> BenchmarkResult:
    """Open the sockets, write contacts at a steady pace in turn, and note when each socket hears of them."""
    with running_stack(
        {"api", "worker"}, settings={"SLUICE_API_WORKERS": "1", "SLUICE_LIMITS_ARE_ON": "false"}
    ) as stack:
        people = [sign_up(stack.api_url, f"live-{number}") for number in range(organizations)]
        return asyncio.run(_measure(stack.api_url, people, sockets=sockets, writes=writes, a_second=a_second))


async def _measure(
    api_url: str, people: Sequence[Person], *, sockets: int, writes: int, a_second: float
) -> BenchmarkResult:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(api_url, connector=connector) as client:
        heard = [_Heard() for _ in range(sockets)]
        tokens = await _tokens(client, people, sockets)
        opened_at = time.perf_counter()
        listening: list[asyncio.Task[None]] = []
        for first in range(0, sockets, _AT_ONCE):
            wave = range(first, min(first + _AT_ONCE, sockets))
            listening += [
                asyncio.create_task(
                    heard[number].listen(client, tokens[number % len(people)][number // len(people) // _OF_A_SIGN_IN])
                )
                for number in wave
            ]
            await _until_in([heard[number] for number in wave], listening)
        opening = time.perf_counter() - opened_at
        committed = [await _write(client, people[number % len(people)], number, a_second) for number in range(writes)]
        await asyncio.sleep(2.0)
        waits = sorted(
            1000 * (one.at[contact] - at)
            for contact, at, number in committed
            for one in heard[number % len(people) :: len(people)]
            if contact in one.at
        )
        expected = sum(len(heard[number % len(people) :: len(people)]) for _, _, number in committed)
        ended = sum(task.done() for task in listening)
        for task in listening:
            task.cancel()
    return BenchmarkResult(
        name=f"live: commit to push, {sockets} sockets on one process, p95",
        figure=waits[int(len(waits) * 0.95)],
        unit="ms",
        limit=_TARGET_MS,
        limit_description="the target",
        details={
            "pushes": f"{len(waits):,} of {expected:,}",
            "p50 ms": round(waits[len(waits) // 2], 1),
            "p99 ms": round(waits[int(len(waits) * 0.99)], 1),
            "opening all of them, s": round(opening, 1),
            "ended meanwhile": ended,
        },
    )


async def _until_in(wave: "Sequence[_Heard]", listening: "Sequence[asyncio.Task[None]]") -> None:
    """Wait until all of these hear; whoever was refused would never."""
    everybody = asyncio.gather(*(one.is_in.wait() for one in wave))
    first: list[asyncio.Future[Any]] = [everybody, *listening]
    async with asyncio.timeout(_OPENING_SECONDS):
        while not everybody.done():
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            for task in listening:
                if task.done():
                    task.result()
                    raise RuntimeError("a socket was ended before all were open")


class _Heard:
    """A socket, and when it heard of each contact."""

    def __init__(self) -> None:
        self.is_in = asyncio.Event()
        self.at: dict[str, float] = {}

    async def listen(self, client: aiohttp.ClientSession, token: str) -> None:
        async with client.ws_connect("/v1/live", max_msg_size=0) as socket:
            await socket.send_str(json.dumps({"token": token}))
            async for message in socket:
                now = time.perf_counter()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                frame = json.loads(message.data)
                self.is_in.set()
                for event in frame.get("events", ()):
                    self.at.setdefault(event["aggregate_id"], now)


async def _tokens(client: aiohttp.ClientSession, people: Sequence[Person], sockets: int) -> list[list[str]]:
    """Access tokens of enough users of each organization: one user has few sockets."""
    users = -(-sockets // len(people) // _OF_A_SIGN_IN)
    return [[person.token, *[await _user(client, person, number) for number in range(users)]] for person in people]


async def _user(client: aiohttp.ClientSession, person: Person, number: int) -> str:
    email, password = f"{number}-{person.email}", "a long enough phrase"
    body = {"email": email, "name": f"Kim {number}", "password": password, "role": "admin"}
    async with client.post("/v1/users", json=body, headers=person.headers) as answer:
        answer.raise_for_status()
    async with client.post("/v1/auth/login", json={"email": email, "password": password}) as answer:
        token: str = (await answer.json())["access_token"]
        return token


async def _write(client: aiohttp.ClientSession, person: Person, number: int, a_second: float) -> tuple[str, float, int]:
    begin = time.perf_counter()
    async with client.post("/v1/contacts", json={"name": f"Ada {number}"}, headers=person.headers) as answer:
        made = await answer.json()
        at = time.perf_counter()
    await asyncio.sleep(max(0.0, begin + 1 / a_second - at))
    return made["id"], at, number
