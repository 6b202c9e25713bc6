"""Writers that note everything: what they asked for, and whether it happened (ok), did not (fail) or is unknown (info).

Each attempt carries a correlation id of its own, which the API writes into the events, so a checker finds the effect
of each attempt. A POST with an idempotency key is repeated while its outcome is unknown; a PATCH is not.
"""

import json
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

PASSWORD = "a-long-test-password"

_ATTEMPTS = 40
_REPEAT_SECONDS = 0.25
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_STILL_RUNNING = "request_in_progress"


class Outcome(StrEnum):
    """What is known about an operation, as Jepsen has it."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass
class Operation:
    """One thing that a writer wanted. `expected_version` is the version it was based on, if it said so."""

    number: int
    writer: int
    organization_id: str
    kind: str
    deal_id: str | None
    body: dict[str, Any]
    expected_version: int | None = None
    key: str | None = None
    attempts: list[UUID] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    outcome: Outcome = Outcome.INFO
    answer: dict[str, Any] = field(default_factory=dict)


class History:
    """All operations, in memory and as lines of JSON in a file: one when it is invoked, one when it has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.operations: list[Operation] = []
        self._lock = threading.Lock()
        self._file = path.open("a")

    def invoke(self, **fields: Any) -> Operation:
        """Note that something is about to be asked for."""
        with self._lock:
            operation = Operation(number=len(self.operations), **fields)
            self.operations.append(operation)
            self._write("invoke", operation)
        return operation

    def end(self, operation: Operation, outcome: Outcome) -> None:
        """Note what came of it."""
        operation.outcome = outcome
        with self._lock:
            self._write(outcome.value, operation)

    def of(self, outcome: Outcome) -> Iterator[Operation]:
        """The operations that ended so."""
        return (operation for operation in self.operations if operation.outcome is outcome)

    def count_status(self, first_digit: str) -> int:
        """How many attempts were answered with such a status."""
        return sum(status.startswith(first_digit) for operation in self.operations for status in operation.statuses)

    def summary(self) -> str:
        """Counts, for a test's output."""
        counts = {outcome.value: sum(1 for _ in self.of(outcome)) for outcome in Outcome}
        return f"{len(self.operations)} operations: {counts}, {self.count_status('5')} answers of 5xx"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, kind: str, operation: Operation) -> None:
        self._file.write(json.dumps({"event": kind, **asdict(operation)}, default=str) + "\n")
        self._file.flush()


@dataclass(frozen=True)
class Tenant:
    """An organization, its first pipeline, and how to sign in. `deals` is what its writers know of."""

    organization_id: str
    access_token: str
    pipeline_id: str
    open_stages: Sequence[str]
    deals: dict[str, int] = field(default_factory=dict)


def sign_up(api_url: str, name: str) -> Tenant:
    """A new organization."""
    with httpx.Client(base_url=api_url, timeout=30) as client:
        body = {
            "email": f"{name}-{uuid4()}@example.org",
            "password": PASSWORD,
            "name": name.title(),
            "organization_name": name.title(),
            "time_zone": "UTC",
            "currency": "USD",
        }
        token = client.post("/v1/auth/signup", json=body).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        me = client.get("/v1/me", headers=headers).raise_for_status().json()
        pipeline = client.get("/v1/pipelines", headers=headers).raise_for_status().json()["items"][0]
    stages = [stage["id"] for stage in pipeline["stages"] if stage["kind"] == "open"]
    return Tenant(me["organization"]["id"], token, pipeline["id"], stages)


class Writer(threading.Thread):
    """One person's program; writes until it is told to stop. `stranger`: a tenant whose deals it tries to reach."""

    def __init__(
        self, number: int, *, api_url: str, tenant: Tenant, stranger: Tenant, history: History, seed: int, pause: float
    ) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.number, self.tenant, self._stranger, self._history = number, tenant, stranger, history
        self._random, self._pause = random.Random(f"{seed}/{number}"), pause
        self._stop_asked = threading.Event()
        self._client = httpx.Client(
            base_url=api_url, timeout=15, headers={"Authorization": f"Bearer {tenant.access_token}"}
        )

    def run(self) -> None:
        """Write."""
        acts = [self._create] * 4 + [self._move] * 4 + [self._amount] * 3 + [self._close, self._reopen, self._trespass]
        while not self._stop_asked.wait(self._random.uniform(0.2, 1.8) * self._pause):
            self._random.choice(acts)()
        self._client.close()

    def finish(self) -> None:
        """Stop after the operation under way."""
        self._stop_asked.set()
        self.join(60)
        assert not self.is_alive(), f"{self.name} hangs"

    def _create(self) -> None:
        body = {
            "pipeline_id": self.tenant.pipeline_id,
            "title": "Deal",
            "external_id": f"{self.number}-{self._random.getrandbits(60):x}",
            "amount_minor": self._random.randrange(10**7),
        }
        self._post("create", None, "/v1/deals", body)

    def _move(self) -> None:
        if (deal := self._known_deal()) is not None:
            body = {"stage_id": self._random.choice(self.tenant.open_stages)}
            version = self.tenant.deals[deal] if self._random.random() < 0.3 else None
            self._post("move", deal, f"/v1/deals/{deal}/move", body, expected_version=version)

    def _close(self) -> None:
        if (deal := self._known_deal()) is not None:
            if self._random.random() < 0.5:
                self._post("win", deal, f"/v1/deals/{deal}/win", {})
            else:
                self._post("lose", deal, f"/v1/deals/{deal}/lose", {"reason": "Price"})

    def _reopen(self) -> None:
        if (deal := self._known_deal()) is not None:
            self._post("reopen", deal, f"/v1/deals/{deal}/reopen", {})

    def _amount(self) -> None:
        if (deal := self._known_deal()) is not None:
            version = max(1, self.tenant.deals[deal] - (self._random.random() < 0.1))  # now and then a stale one
            operation = self._invoke("amount", deal, {"amount_minor": self._random.randrange(10**7)}, version)
            outcome = self._attempt(operation, "PATCH", f"/v1/deals/{deal}")
            self._end(operation, outcome)

    def _trespass(self) -> None:
        deals = list(self._stranger.deals)
        if deals:
            deal = self._random.choice(deals)
            self._post("trespass", deal, f"/v1/deals/{deal}/win", {})

    def _known_deal(self) -> str | None:
        deals = list(self.tenant.deals)
        return self._random.choice(deals[-40:]) if deals else None

    def _post(
        self, kind: str, deal: str | None, path: str, body: dict[str, Any], *, expected_version: int | None = None
    ) -> None:
        operation = self._invoke(kind, deal, body, expected_version)
        operation.key = str(uuid4()) if self._random.random() < 0.7 else None
        outcome = self._attempt(operation, "POST", path)
        while outcome is Outcome.INFO and operation.key and len(operation.attempts) < _ATTEMPTS:
            self._stop_asked.wait(_REPEAT_SECONDS)
            again = self._attempt(operation, "POST", path)
            # a refused connection says nothing about the attempt before
            outcome = again if again is not Outcome.FAIL or operation.statuses[-1] != "not sent" else Outcome.INFO
        self._end(operation, outcome)

    def _invoke(self, kind: str, deal: str | None, body: dict[str, Any], version: int | None) -> Operation:
        return self._history.invoke(
            writer=self.number,
            organization_id=self.tenant.organization_id,
            kind=kind,
            deal_id=deal,
            body=body,
            expected_version=version,
        )

    def _attempt(self, operation: Operation, method: str, path: str) -> Outcome:
        attempt = uuid4()
        operation.attempts.append(attempt)
        headers = {"X-Correlation-ID": str(attempt)}
        if operation.key:
            headers["Idempotency-Key"] = operation.key
        if operation.expected_version is not None:
            headers["If-Match"] = f'"{operation.expected_version}"'
        try:
            answer = self._client.request(method, path, json=operation.body, headers=headers)
        except _NEVER_SENT:
            operation.statuses.append("not sent")
            self._stop_asked.wait(_REPEAT_SECONDS)
            return Outcome.FAIL
        except httpx.TransportError as error:
            operation.statuses.append(type(error).__name__)
            return Outcome.INFO
        operation.statuses.append(str(answer.status_code))
        operation.answer = _content(answer)
        if answer.is_success:
            return Outcome.OK
        if answer.status_code >= 500 or operation.answer.get("code") == _STILL_RUNNING:
            return Outcome.INFO
        return Outcome.FAIL

    def _end(self, operation: Operation, outcome: Outcome) -> None:
        if outcome is Outcome.OK and operation.kind != "trespass":
            deal, version = operation.answer["id"], operation.answer["version"]
            self.tenant.deals[deal] = max(version, self.tenant.deals.get(deal, 0))
        self._history.end(operation, outcome)


def _content(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


class Writers:
    """Eight of them in two organizations, while the block lasts."""

    def __init__(self, api_url: str, history: History, *, seed: int, count: int = 8, pause: float = 0.4) -> None:
        self.tenants = [sign_up(api_url, "alpha"), sign_up(api_url, "beta")]
        self._writers = [
            Writer(
                number,
                api_url=api_url,
                tenant=self.tenants[number % 2],
                stranger=self.tenants[1 - number % 2],
                history=history,
                seed=seed,
                pause=pause,
            )
            for number in range(count)
        ]

    def __enter__(self) -> "Writers":
        for writer in self._writers:
            writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Let each end what it is about, and stop."""
        for writer in self._writers:
            writer.finish()
