"""Requests as fast as they are answered, over a fixed number of connections, from processes of their own.

wrk where it is installed (Debian's package): it takes a twentieth of a processor. Otherwise aiohttp, whose own cost is
then in every figure, the limit's as well: `python -m benchmarks.http_driver` is such a process.
"""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from uuid import uuid4

import aiohttp

from benchmarks.load import quantile

_WRK = shutil.which("wrk")

#: Which client drives.
DRIVER = "wrk" if _WRK else "aiohttp"


@dataclass(frozen=True)
class HttpRequest:
    """What to ask, again and again. `has_key`: each time with a fresh Idempotency-Key."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    has_key: bool = False


@dataclass(frozen=True)
class Driven:
    """What came of it."""

    answered: int
    failed: int
    seconds: float
    p95_ms: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answered / self.seconds


def drive(urls: Sequence[str], requests: Sequence[HttpRequest], *, connections: int, seconds: float) -> Driven:
    """Send the requests in turn to servers for `seconds`, a process and an even part of the connections for each URL.

    Raises:
        RuntimeError: an answer that is no success, or none.
    """
    one = _drive_by_wrk if _WRK else _drive_by_aiohttp
    with ThreadPoolExecutor(len(urls)) as pool:
        parts = list(pool.map(lambda url: one(url, requests, connections // len(urls), seconds), urls))
    if failed := sum(part.failed for part in parts):
        raise RuntimeError(f"{failed} requests to {requests[0].path} failed")
    return Driven(
        answered=sum(part.answered for part in parts),
        failed=0,
        seconds=max(part.seconds for part in parts),
        p95_ms=max(part.p95_ms for part in parts),
    )


_SCRIPT = """
local requests = %s
local keys, sent = %s, 0
request = function()
    sent = sent + 1
    local one = requests[(sent - 1) %% #requests + 1]
    if one.has_key then one.headers["Idempotency-Key"] = keys .. sent end
    return wrk.format(one.method, one.path, one.headers, one.body)
end
done = function(summary, latency)
    local errors = summary.errors
    local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
    local result = '{"answered": %%d, "failed": %%d, "seconds": %%f, "p95_ms": %%f}\\n'
    io.write(result:format(summary.requests, failed, summary.duration / 1e6, latency:percentile(95) / 1e3))
end
"""


def _drive_by_wrk(url: str, requests: Sequence[HttpRequest], connections: int, seconds: float) -> Driven:
    with TemporaryDirectory() as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(_SCRIPT % (_lua([asdict(request) for request in requests]), _lua(f"{uuid4()}-")))
        size = [f"--connections={connections}", "--threads=1", f"--duration={max(1, round(seconds))}s"]
        command = [str(_WRK), *size, f"--script={script}", url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Driven(**json.loads(output.strip().splitlines()[-1]))


def _lua(value: object) -> str:
    """A value as Lua spells it; texts of ASCII are spelled as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{_lua(name)}] = {_lua(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(_lua(part) for part in value) + "}"
    return "nil" if value is None else json.dumps(value)


def _drive_by_aiohttp(url: str, requests: Sequence[HttpRequest], connections: int, seconds: float) -> Driven:
    order = {"url": url, "connections": connections, "seconds": seconds, "requests": [asdict(one) for one in requests]}
    command = [sys.executable, "-m", "benchmarks.http_driver"]
    output = subprocess.run(command, check=True, input=json.dumps(order), stdout=subprocess.PIPE, text=True).stdout
    return Driven(**json.loads(output))


async def _ask(url: str, requests: Sequence[HttpRequest], connections: int, seconds: float) -> Driven:
    keys, took, failures = f"{uuid4()}-", list[float](), 0
    numbers, began = count(), perf_counter()

    async def connection(client: aiohttp.ClientSession) -> None:
        nonlocal failures
        while (asked := perf_counter()) < began + seconds:
            number = next(numbers)
            one = requests[number % len(requests)]
            headers = one.headers | ({"Idempotency-Key": f"{keys}{number}"} if one.has_key else {})
            async with client.request(one.method, one.path, headers=headers, data=one.body) as answer:
                await answer.read()
            failures += not answer.ok
            took.append(perf_counter() - asked)

    limits = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(url, connector=limits) as client, asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(connection(client))
    return Driven(len(took), failures, perf_counter() - began, quantile(took, 0.95) * 1000)


def main() -> None:
    """Do what standard input says, and say what came of it."""
    order = json.load(sys.stdin)
    requests = [HttpRequest(**one) for one in order.pop("requests")]
    result = asyncio.run(_ask(order["url"], requests, order["connections"], order["seconds"]))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
