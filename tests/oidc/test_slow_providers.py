"""A provider that does not come to an end holds up nobody for long, and those who sign in by another not at all."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from api.edge import oidc
from api.edge.oidc import Providers, ProviderUnavailable
from api.kernel.secrets import Secrets
from tests.oidc.providers import REDIRECT, as_setting, lying_provider


@contextlib.asynccontextmanager
async def _endless(first: bytes, then: bytes) -> AsyncIterator[str]:
    """A server whose answer begins with `first` and goes on with `then`, for ever, a little at a time."""

    is_over = asyncio.Event()
    answering = set[asyncio.Task[None] | None]()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            writer.write(first)
            while not is_over.is_set():
                writer.write(then)
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    is_over.set()
    await asyncio.gather(*(task for task in answering if task is not None))
    server.close()


@pytest.mark.parametrize(
    ("then", "words"), [(b" ", "does not answer"), (b" " * 100_000, "too large")], ids=["trickles", "pours"]
)
async def test_an_answer_without_an_end_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, then: bytes, words: str
) -> None:
    monkeypatch.setattr(oidc, "_ANSWER_SECONDS", 1.0)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    async with _endless(head, then) as url:
        with lying_provider() as sound:
            settings = [as_setting("slow", url), as_setting("sound", sound.issuer)]
            providers = Providers(settings, Secrets(["k" * 40]), redirects=[REDIRECT])
            began = time.monotonic()
            slow = asyncio.ensure_future(providers.begin("slow", REDIRECT))
            await asyncio.sleep(0.1)
            await asyncio.wait_for(providers.begin("sound", REDIRECT), 0.8)
            with pytest.raises(ProviderUnavailable, match=words):
                await slow
            assert time.monotonic() - began < 5
