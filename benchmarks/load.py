"""Requests at a given rate, whatever the answers take: people do not wait for each other.

A request's time runs from the instant at which it was due, so that a server which stalls is charged for everybody whom
it kept waiting.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any
from uuid import UUID

import aiohttp
import httpx

_SIGN_IN_AGAIN_SECONDS = 600.0
_PASSWORD = "a long enough phrase"  # noqa: S105  # of a throw-away server


@dataclass(frozen=True)
class Request:
    """What to ask. `kind` groups the answers: `read`, `write`. `done` hears what a success says, in JSON."""

    kind: str
    method: str
    path: str
    body: object = None
    done: Callable[[bytes], None] = lambda _answer: None


@dataclass(frozen=True)
class Answer:
    """What became of a request; status 0 is no answer. Seconds since it was due; `at` is when, on the same clock."""

    kind: str
    path: str
    status: int
    seconds: float
    at: float


@dataclass
class Person:
    """The owner of an organization of their own. `refreshed_at` is when the token was last made."""

    email: str
    token: str
    organization_id: UUID
    user_id: UUID
    pipeline: dict[str, Any]
    refreshed_at: float = field(default_factory=monotonic)

    @property
    def open_stages(self) -> list[str]:
        """Ids of the pipeline's open stages."""
        return [stage["id"] for stage in self.pipeline["stages"] if stage["kind"] == "open"]

    @property
    def headers(self) -> dict[str, str]:
        """What signs a request."""
        return {"Authorization": f"Bearer {self.token}"}

    def sign_in_again(self, api_url: str) -> None:
        """Sign in again if the token is about to end."""
        if monotonic() - self.refreshed_at < _SIGN_IN_AGAIN_SECONDS:
            return
        answer = httpx.post(f"{api_url}/v1/auth/login", json=self._credentials, timeout=60)
        self.refreshed_at, self.token = monotonic(), answer.raise_for_status().json()["access_token"]

    @property
    def _credentials(self) -> dict[str, str]:
        return {"email": self.email, "password": _PASSWORD}

    async def stay_signed_in(self, client: aiohttp.ClientSession) -> None:
        """Sign in again before the token ends; others of the person's requests go on with the old one meanwhile."""
        if monotonic() - self.refreshed_at < _SIGN_IN_AGAIN_SECONDS:
            return
        self.refreshed_at = monotonic()
        async with client.post("/v1/auth/login", json=self._credentials, raise_for_status=True) as answer:
            self.token = (await answer.json())["access_token"]


def sign_up(api_url: str, name: str) -> Person:
    """Make an organization with its owner and the usual pipeline."""
    email = f"{name}@example.com"
    body = {
        "email": email,
        "password": _PASSWORD,
        "name": name,
        "organization_name": name,
        "time_zone": "UTC",
        "currency": "EUR",
    }
    with httpx.Client(base_url=api_url, timeout=60) as client:
        token = client.post("/v1/auth/signup", json=body).raise_for_status().json()["access_token"]
        answer = client.get("/v1/pipelines", headers={"Authorization": f"Bearer {token}"})
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    pipeline = answer.raise_for_status().json()["items"][0]
    return Person(email, token, UUID(claims["org"]), UUID(claims["sub"]), pipeline)


def offer(
    api_url: str, next_request: Callable[[], tuple[Person, Request]], *, rate: float, until: Callable[[float], bool]
) -> list[Answer]:
    """Send requests at `rate` per second for as long as `until(seconds since the start)` is false."""
    return asyncio.run(_offer(api_url, next_request, rate, until))


def offer_until(stop: Event) -> Callable[[float], bool]:
    """For `offer` in a thread: until told to stop."""
    return lambda _seconds: stop.is_set()


async def _offer(
    api_url: str,
    next_request: Callable[[], tuple[Person, Request]],
    rate: float,
    until: Callable[[float], bool],
) -> list[Answer]:
    answers: list[Answer] = []
    limits, patience = aiohttp.TCPConnector(limit=64), aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(api_url, connector=limits, timeout=patience) as client,
        asyncio.TaskGroup() as group,
    ):
        began = due = monotonic()
        while not until(monotonic() - began):
            person, request = next_request()
            group.create_task(_send(client, person, request, due, answers))
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - monotonic()))
    return answers


async def _send(
    client: aiohttp.ClientSession, person: Person, request: Request, due: float, answers: list[Answer]
) -> None:
    status = 0
    try:
        await person.stay_signed_in(client)
        asked = client.request(request.method, request.path, json=request.body, headers=person.headers)
        async with asked as answer:
            body, status = await answer.read(), answer.status
        if answer.ok:
            request.done(body)
    except (aiohttp.ClientError, TimeoutError):
        status = 0
    answers.append(Answer(request.kind, request.path.split("?")[0], status, monotonic() - due, monotonic()))


def failures(answers: Iterable[Answer]) -> int:
    """How many were refused, broke or never came."""
    return sum(not 200 <= answer.status < 300 for answer in answers)


def quantile(values: Iterable[float], share: float) -> float:
    """A quantile of values, 0.0 of none."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))] if ordered else 0.0
