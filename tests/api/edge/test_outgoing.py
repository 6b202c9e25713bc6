"""A-14: what people name as an address reaches nothing that only we can reach."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from api.edge.outgoing import Breaker, CircuitOpenError, NoAnswerError, Outgoing, TargetRefusedError

LOCAL = "127.0.0.1/32"


@asynccontextmanager
async def listening(answer: bytes, *, then: float = 0.0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers everything alike; its port, and what it was sent."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            writer.write(answer)
            await writer.drain()
            await asyncio.sleep(then)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",  # noqa: S104
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "0x7f.1", "2130706433", "127.1",
        "0177.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::1]", "[fec0::1]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[2001:db8::1]", "[2001:0:7f00:1::]",
    ],
)  # fmt: skip
async def test_a14_addresses_that_are_not_public_get_no_connection(host: str) -> None:
    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        outgoing = Outgoing(seconds=2)
        with pytest.raises((TargetRefusedError, NoAnswerError)) as refused:
            await outgoing.send("POST", f"http://{host}:{port}/", headers={})
        assert heard == []
        assert "public" in str(refused.value) or "no address" in str(refused.value)
        await outgoing.close()


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://user:pw@example.com/", "http:///x", "example.com", "http://a b/"]
)
async def test_a14_what_is_no_web_address_is_refused(url: str) -> None:
    outgoing = Outgoing()
    with pytest.raises((TargetRefusedError, NoAnswerError)):
        await outgoing.send("POST", url, headers={})
    await outgoing.close()


async def test_a14_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def resolve(_host: str, _port: int) -> Iterable[str]:
        return ["93.184.216.34", "10.0.0.1"]

    outgoing = Outgoing(resolve=resolve)
    with pytest.raises(TargetRefusedError):
        await outgoing.send("POST", "http://hooks.example/", headers={})
    await outgoing.close()


async def test_a14_a_name_that_changes_after_the_look_changes_nothing() -> None:
    looks = iter(["127.0.0.1", "10.0.0.1"])

    async def resolve(_host: str, _port: int) -> Iterable[str]:
        return [next(looks)]

    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        outgoing = Outgoing(allow=[LOCAL], resolve=resolve)
        assert (await outgoing.send("POST", f"http://hooks.example:{port}/x", headers={})).status == 200
        assert b"Host: hooks.example" in heard[0]
        with pytest.raises(TargetRefusedError):
            await outgoing.send("POST", f"http://hooks.example:{port}/x", headers={})
        await outgoing.close()


async def test_a14_a_redirect_is_not_followed() -> None:
    async with listening(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n") as (
        port,
        heard,
    ):
        outgoing = Outgoing(allow=[LOCAL])
        assert (await outgoing.send("POST", f"http://127.0.0.1:{port}/", headers={})).status == 302
        assert len(heard) == 1
        await outgoing.close()


async def test_a14_an_endless_answer_and_one_that_trickles_end() -> None:
    outgoing = Outgoing(allow=[LOCAL], seconds=1, largest_answer=1000)
    async with listening(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000, then=5) as (port, _):
        assert len((await outgoing.send("GET", f"http://127.0.0.1:{port}/", headers={})).body) == 1000
    async with listening(b"HTTP/1.1 200 OK\r\nContent-Le", then=5) as (port, _):
        with pytest.raises(NoAnswerError):
            await outgoing.send("GET", f"http://127.0.0.1:{port}/", headers={})
    await outgoing.close()


async def test_what_keeps_failing_is_left_alone_and_one_try_decides() -> None:
    now = 0.0
    breaker = Breaker(failures=2, rest=10, clock=lambda: now)
    for _ in range(2):
        with pytest.raises(NoAnswerError):
            async with breaker.guarding("host"):
                raise NoAnswerError("no")
    with pytest.raises(CircuitOpenError):
        breaker.check("host")
    breaker.check("another host")
    now = 11.0
    breaker.check("host")
    with pytest.raises(CircuitOpenError):
        breaker.check("host")  # somebody tries already
    breaker.succeeded("host")
    breaker.check("host")
