"""Requests to addresses that people of an organization name, as their webhooks: to public ones alone, and not for long.

A name is resolved here, every address it has must be public, and the connection goes to the one that was looked at: a
name that changes between look and use changes nothing. No redirect is followed, no proxy asked, no answer unpacked, and
of an answer only so many bytes are read in so many seconds. `Breaker` leaves alone for a while what does not answer.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import httpx

from contracts.networks import Address, Network, is_public

Resolver = Callable[[str, int], Awaitable[Iterable[str]]]


class OutgoingError(Exception):
    """The request got no answer; the message is for the person who named the address."""


class TargetRefusedError(OutgoingError):
    """The address is none that may be called; trying again does not help."""


class NoAnswerError(OutgoingError):
    """It could not be reached, or took too long."""


class CircuitOpenError(OutgoingError):
    """It failed several times in a row and is left alone for some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"It failed several times; the next try is in {seconds:.0f} s.")


@dataclass(frozen=True)
class Answer:
    """What came back: the beginning of the body, as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether it was taken."""
        return 200 <= self.status < 300


async def _resolved(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]) for *_, place in found]


class PublicTransport(httpx.AsyncBaseTransport):
    """A transport of httpx that reaches public addresses alone: `httpx.AsyncClient(transport=PublicTransport())`."""

    def __init__(self, *, allow: Iterable[Network] = (), resolve: Resolver = _resolved) -> None:
        self._allow, self._resolve = tuple(allow), resolve
        self._inner = httpx.AsyncHTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to an address that was looked at."""
        url = request.url
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise TargetRefusedError("The address must be http(s)://host/…, without a user in it.")
        address = await self._address(url.host, url.port or (443 if url.scheme == "https" else 80))
        request.url = url.copy_with(
            host=str(address)
        )  # the header Host keeps the name, so does the certificate's check
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        return await self._inner.handle_async_request(request)

    async def _address(self, host: str, port: int) -> Address:
        try:
            found = [ip_address(one.partition("%")[0]) for one in await self._resolve(host, port)]
        except (OSError, UnicodeError, ValueError) as error:
            raise NoAnswerError(f"There is no address of the name {host}.") from error
        if not found:
            raise NoAnswerError(f"There is no address of the name {host}.")
        if not all(is_public(one, allow=self._allow) for one in found):
            raise TargetRefusedError(f"{host} is not a public address.")
        return found[0]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class Breaker:
    """Leaves alone for `rest` seconds what failed `failures` times in a row; then one try decides."""

    def __init__(self, *, failures: int = 5, rest: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rest, self._clock = failures, rest, clock
        self._failed: dict[str, tuple[int, float]] = {}

    def check(self, key: str) -> None:
        """Let a try through, or not.

        Raises:
            CircuitOpenError: not yet.
        """
        count, until = self._failed.get(key, (0, 0.0))
        now = self._clock()
        if count >= self._most:
            if now < until:
                raise CircuitOpenError(until - now)
            self._failed[key] = (count, now + self._rest)  # others wait for what this try finds

    def succeeded(self, key: str) -> None:
        """A try was answered."""
        self._failed.pop(key, None)

    def failed(self, key: str) -> None:
        """A try was not."""
        count, _ = self._failed.get(key, (0, 0.0))
        self._failed[key] = (count + 1, self._clock() + self._rest)

    @asynccontextmanager
    async def guarding(self, key: str) -> AsyncIterator[None]:
        """One try; an OutgoingError or an error of httpx is a failure.

        Raises:
            CircuitOpenError: not yet.
        """
        self.check(key)
        try:
            yield
        except (OutgoingError, httpx.HTTPError):
            self.failed(key)
            raise
        self.succeeded(key)


class Outgoing:
    """Sends requests to public addresses. `allow` is what `SLUICE_OUTGOING_ALLOW` names."""

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        resolve: Resolver = _resolved,
        seconds: float = 15.0,
        largest_answer: int = 64 * 1024,
    ) -> None:
        self._seconds, self._largest = seconds, largest_answer
        transport = PublicTransport(allow=[ip_network(one) for one in allow], resolve=resolve)
        self._client = httpx.AsyncClient(
            transport=transport, follow_redirects=False, timeout=httpx.Timeout(seconds, connect=min(5.0, seconds))
        )

    async def send(self, method: str, url: str, *, content: bytes = b"", headers: Mapping[str, str]) -> Answer:
        """Send a request and read the beginning of its answer.

        Raises:
            TargetRefusedError: the address may not be called.
            NoAnswerError: there was no answer in time.
        """
        wanted = {"Accept-Encoding": "identity", "User-Agent": "Sluice", **headers}
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream(method, url, content=content, headers=wanted) as answer,
            ):
                body = bytearray()
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) >= self._largest:
                        break
                return Answer(answer.status_code, dict(answer.headers), bytes(body[: self._largest]))
        except TimeoutError as error:
            raise NoAnswerError(f"There was no answer within {self._seconds:.0f} s.") from error
        except httpx.InvalidURL as error:
            raise TargetRefusedError(f"This is no address: {error}.") from error
        except httpx.HTTPError as error:
            raise NoAnswerError(f"It could not be reached ({type(error).__name__}).") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
