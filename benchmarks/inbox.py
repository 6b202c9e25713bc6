"""The inbox: how many messages one API process takes in, and how soon after it accepted one its provider is called.

Taken in are batches as connectors hand them in, each message of a conversation with a hundred others. Sent is by the
connector of X, as a process of its own, to a server that answers as X does. The limits are the targets.
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.load import Person, sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack
from runtime.process import ManagedProcess, ProcessSpec

_BATCH, _OF_A_CONVERSATION = 100, 100
_TARGET_A_MINUTE, _TARGET_MS = 5_000.0, 300.0
_SCOPES = ["accounts:read", "accounts:write", "channels:write"]


def run(*, messages: int = 10_000, sends: int = 100, a_second: float = 4.0) -> list[BenchmarkResult]:
    """Hand in the messages as fast as they are taken, then send at a steady pace."""
    settings = {"SLUICE_API_WORKERS": "1", "SLUICE_LIMITS_ARE_ON": "false"}
    with running_stack({"api", "worker"}, settings=settings) as stack:
        owner = sign_up(stack.api_url, "inbox")
        return [
            asyncio.run(_take_in(stack.api_url, owner, messages)),
            asyncio.run(_send(stack.api_url, owner, sends, a_second)),
        ]


async def _post(client: aiohttp.ClientSession, path: str, body: object) -> Any:  # noqa: ANN401 # any answer
    async with client.post(path, json=body, raise_for_status=True) as answer:
        return await answer.json()


async def _account(client: aiohttp.ClientSession, channel: str, address: str) -> str:
    body = {"channel": channel, "name": "Ours", "address": address, "daily_limit": 100_000}
    made: str = (await _post(client, "/v1/bd-accounts", body))["id"]
    return made


async def _take_in(api_url: str, owner: Person, messages: int) -> BenchmarkResult:
    async with aiohttp.ClientSession(api_url, headers=owner.headers) as client:
        account = await _account(client, "telegram", "+4930000001")
        epoch = (await _post(client, f"/v1/bd-accounts/{account}/lease", {"holder": "bench"}))["epoch"]
        begun = time.perf_counter()
        for first in range(0, messages, _BATCH):
            batch = [_message(number) for number in range(first, min(first + _BATCH, messages))]
            body = {"account_id": account, "epoch": epoch, "messages": batch}
            await _post(client, "/v1/messages/inbound", body)
        seconds = time.perf_counter() - begun
    return BenchmarkResult(
        name="inbox: messages taken in by one process",
        figure=60 * messages / seconds,
        unit="messages/min",
        limit=_TARGET_A_MINUTE,
        limit_description="the target",
        details={"messages": messages, "of one batch": _BATCH},
    )


def _message(number: int) -> dict[str, Any]:
    return {
        "provider_id": str(number),
        "thread_key": str(number // _OF_A_CONVERSATION),
        "address": f"+49301{number // _OF_A_CONVERSATION:07}",
        "direction": "in" if number % 2 else "out",
        "text": f"Message {number}: how much are four hundred seats, and from when on?",
        "occurred_at": datetime.now(UTC).isoformat(),
    }


class _Provider:
    """X, as far as the connector asks it; notes when it was called with which text."""

    def __init__(self) -> None:
        self.called: dict[str, float] = {}
        self.app = web.Application()
        self.app.add_routes(
            [
                web.get("/2/users/me", self._me),
                web.get("/2/dm_events", self._events),
                web.post("/2/dm_conversations/{path:.*}", self._take),
            ]
        )

    async def _me(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"id": "100", "name": "Us", "username": "us"}})

    async def _events(self, _: web.Request) -> web.Response:
        return web.json_response({"meta": {"result_count": 0}})

    async def _take(self, request: web.Request) -> web.Response:
        at = time.perf_counter()
        self.called[(await request.json())["text"]] = at
        data = {"dm_event_id": str(1_000 + len(self.called)), "dm_conversation_id": "100-200"}
        return web.json_response({"data": data}, status=201)


async def _send(api_url: str, owner: Person, sends: int, a_second: float) -> BenchmarkResult:
    provider = _Provider()
    runner = web.AppRunner(provider.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(api_url, headers=owner.headers) as client:
            account = await _account(client, "x", "@us")
            await _post(client, f"/v1/bd-accounts/{account}/secret", {"values": {"access_token": "token"}})
            key = await _post(client, "/v1/api-keys", {"name": "Channels", "scopes": _SCOPES, "role": "admin"})
            environment = {
                "SLUICE_API_URL": api_url,
                "SLUICE_CHANNELS_KEYS": key["key"],
                "SLUICE_X_API_URL": f"http://127.0.0.1:{port}",
            }
            with tempfile.TemporaryDirectory() as folder:
                process = _connector(environment, Path(folder))
                try:
                    accepted = await _write(client, provider, account, sends, a_second)
                finally:
                    await asyncio.to_thread(process.stop)
    finally:
        await runner.cleanup()
    waits = sorted(1000 * max(0.0, provider.called[text] - at) for text, at in accepted.items())
    return BenchmarkResult(
        name="inbox: send accepted to provider called, p95",
        figure=waits[int(len(waits) * 0.95)],
        unit="ms",
        limit=_TARGET_MS,
        limit_description="the target",
        details={"sends": len(waits), "p50 ms": round(waits[len(waits) // 2], 1), "slowest ms": round(waits[-1], 1)},
    )


def _connector(environment: dict[str, str], folder: Path) -> ManagedProcess:
    command = [sys.executable, "-m", "runtime.serve", "channels", "x"]
    spec = ProcessSpec("channels", command, env=environment, cwd=Path(__file__).parents[1], ready=lambda: True)
    process = ManagedProcess(spec, log_path=folder / "channels.log")
    process.start()
    return process


async def _write(
    client: aiohttp.ClientSession, provider: _Provider, account: str, sends: int, a_second: float
) -> dict[str, float]:
    """Write to somebody, the first time until it has gone; answers when each text was accepted."""
    begun = await _post(client, "/v1/conversations", {"account_id": account, "address": "200-100", "text": "First"})
    async with asyncio.timeout(60):
        while "First" not in provider.called:  # noqa: ASYNC110 # a process tells nobody
            await asyncio.sleep(0.05)
    accepted: dict[str, float] = {}
    for number in range(sends):
        due = time.perf_counter() + 1 / a_second
        await _post(client, f"/v1/conversations/{begun['id']}/messages", {"text": f"Text {number}"})
        accepted[f"Text {number}"] = time.perf_counter()
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    async with asyncio.timeout(30):
        while len(provider.called) <= sends:  # noqa: ASYNC110 # a process tells nobody
            await asyncio.sleep(0.05)
    return accepted
