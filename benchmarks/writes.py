"""Writes per second over HTTP: eight people create deals and move them, one connection each.

The limit is the same work without an API: the statements of the same requests, sent to the same PostgreSQL by as many
psycopg connections. Client, API and PostgreSQL share the machine, so the clients' own cost is in both figures.
"""

import base64
import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack

_CLIENTS = 8
_MOVES_PER_DEAL = 3
_WARM_UP_SECONDS = 1.0
_SECONDS = 5.0

#: One deal made and moved; answers the seconds of each write.
Work = Callable[[], list[float]]


@dataclass(frozen=True)
class _Account:
    """A signed-up organization, as both roads need it."""

    token: str
    organization_id: UUID
    user_id: UUID
    session_id: UUID
    pipeline_id: UUID
    stage_ids: list[UUID]


def run() -> BenchmarkResult:
    """Measure both on a stack of its own."""
    with running_stack({"api"}) as stack:
        account = _sign_up(stack.ports.api)
        idle = _measure(lambda: _HttpClient(stack.ports.api, account).ask_for_nothing)
        through_api = _measure(lambda: _HttpClient(stack.ports.api, account).work)
        url = stack.environment()["SLUICE_DATABASE_URL"]
        directly = _measure(lambda: _SqlClient(url, account).work)
    return BenchmarkResult(
        name="writes",
        figure=len(through_api) / _SECONDS,
        unit="writes/s",
        limit=len(directly) / _SECONDS,
        limit_description="the same statements by psycopg",
        details={
            "clients": _CLIENTS,
            "mix": f"1 create to {_MOVES_PER_DEAL} moves",
            "p50": f"{_quantile(through_api, 0.5) * 1000:.1f} ms",
            "p95": f"{_quantile(through_api, 0.95) * 1000:.1f} ms",
            "the API doing nothing": f"{len(idle) / _SECONDS:,.0f} requests/s",
            "limit's p95": f"{_quantile(directly, 0.95) * 1000:.1f} ms",
        },
    )


def _measure(make_work: Callable[[], Work]) -> list[float]:
    """The seconds of every write that all clients finished within the measured time."""
    begins_at = time.perf_counter() + _WARM_UP_SECONDS
    ends_at = begins_at + _SECONDS

    def client(work: Work) -> list[float]:
        done: list[float] = []
        while time.perf_counter() < ends_at:
            began = time.perf_counter()
            took = work()
            if began >= begins_at and time.perf_counter() <= ends_at:
                done += took
        return done

    with ThreadPoolExecutor(_CLIENTS) as pool:
        return [one for done in pool.map(client, [make_work() for _ in range(_CLIENTS)]) for one in done]


def _quantile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(share * (len(seconds) - 1))]


def _call(connection: http.client.HTTPConnection, path: str, *, token: str | None, body: object = None) -> Any:  # noqa: ANN401 # JSON
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    encoded = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, encoded, headers)
    response = connection.getresponse()
    text = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{path} answered {response.status}: {text[:300]!r}")
    return json.loads(text)


def _sign_up(port: int) -> _Account:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = {
        "email": "bench@example.com",
        "password": "a long enough phrase",
        "name": "Bench",
        "organization_name": "Bench",
    }
    token = _call(connection, "/v1/auth/signup", token=None, body=body)["access_token"]
    [pipeline] = _call(connection, "/v1/pipelines", token=token)["items"]
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return _Account(
        token=token,
        organization_id=UUID(claims["org"]),
        user_id=UUID(claims["sub"]),
        session_id=UUID(claims["sid"]),
        pipeline_id=UUID(pipeline["id"]),
        stage_ids=[UUID(stage["id"]) for stage in pipeline["stages"] if stage["kind"] == "open"],
    )


class _HttpClient:
    """One person's connection to the API."""

    def __init__(self, port: int, account: _Account) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._account = account

    def work(self) -> list[float]:
        """Create a deal, then move it along."""
        body = {"pipeline_id": str(self._account.pipeline_id), "title": "Bench", "amount_minor": 100_000}
        deal, first = self._timed("/v1/deals", body)
        times = [first]
        for stage_id in self._account.stage_ids[1 : _MOVES_PER_DEAL + 1]:
            _, took = self._timed(f"/v1/deals/{deal['id']}/move", {"stage_id": str(stage_id)})
            times.append(took)
        return times

    def ask_for_nothing(self) -> list[float]:
        """One request that touches no database: what HTTP itself costs here."""
        began = time.perf_counter()
        _call(self._connection, "/healthz", token=None)
        return [time.perf_counter() - began]

    def _timed(self, path: str, body: object) -> tuple[Any, float]:
        began = time.perf_counter()
        answer = _call(self._connection, path, token=self._account.token, body=body)
        return answer, time.perf_counter() - began


_ENTER = "select * from enter_request(%s, %s, false)"
_FIRST_STAGE = """
select s.*, p.is_active, o.currency from stages s
join pipelines p on p.organization_id = s.organization_id and p.id = s.pipeline_id
join organizations o on o.organization_id = s.organization_id
where s.organization_id = %s and s.pipeline_id = %s and s.kind = 'open' and not s.is_retired
order by s.position limit 1 for key share of s, p"""
_APPEND = """
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
    occurred_at, actor, actor_id, correlation_id, data)
values (%s, %s, %s, 1, 'deal', %s, %s, clock_timestamp(), 'user', %s, %s, %s) returning occurred_at, recorded_at"""
_CREATE = """
insert into deals (organization_id, id, version, created_at, pipeline_id, stage_id, stage_entered_at, status, title,
    amount_minor, currency, owner_id, last_occurred_at)
values (%s, %s, 1, %s, %s, %s, %s, 'open', 'Bench', 100000, 'EUR', %s, %s) returning updated_at"""
_LOCK = "select * from deals where organization_id = %s and id = %s and deleted_at is null for update"
_SHARE = "select * from stages where organization_id = %s and id = %s for key share"
_MOVE = """
update deals set stage_id = %s, stage_entered_at = %s, last_occurred_at = %s, version = %s, updated_at = now()
where organization_id = %s and id = %s and version = %s returning updated_at"""


class _SqlClient:
    """The same work without an API."""

    def __init__(self, url: str, account: _Account) -> None:
        self._connection = psycopg.connect(url)
        self._account = account

    def work(self) -> list[float]:
        """Create a deal, then move it along."""
        deal_id = uuid7()
        began = time.perf_counter()
        self._create(deal_id)
        times = [time.perf_counter() - began]
        for version, stage_id in enumerate(self._account.stage_ids[1 : _MOVES_PER_DEAL + 1], start=1):
            began = time.perf_counter()
            self._move(deal_id, stage_id, version=version)
            times.append(time.perf_counter() - began)
        return times

    def _create(self, deal_id: UUID) -> None:
        account = self._account
        with self._connection.transaction():
            self._execute(_ENTER, account.organization_id, account.session_id)
            stage = self._execute(_FIRST_STAGE, account.organization_id, account.pipeline_id)
            data = {"pipeline_id": str(account.pipeline_id), "to_stage_id": str(stage[1]), "amount_minor": 100_000}
            at = self._append(deal_id, "deal.created", version=1, data=data)
            self._execute(
                _CREATE, account.organization_id, deal_id, at, account.pipeline_id, stage[1], at, account.user_id, at
            )

    def _move(self, deal_id: UUID, stage_id: UUID, *, version: int) -> None:
        account = self._account
        with self._connection.transaction():
            self._execute(_ENTER, account.organization_id, account.session_id)
            self._execute(_LOCK, account.organization_id, deal_id)
            self._execute(_SHARE, account.organization_id, stage_id)
            data = {"pipeline_id": str(account.pipeline_id), "to_stage_id": str(stage_id)}
            at = self._append(deal_id, "deal.stage.changed", version=version + 1, data=data)
            self._execute(_MOVE, stage_id, at, at, version + 1, account.organization_id, deal_id, version)

    def _append(self, deal_id: UUID, kind: str, *, version: int, data: dict[str, Any]) -> object:
        account = self._account
        return self._execute(
            _APPEND, uuid7(), account.organization_id, kind, deal_id, version, account.user_id, uuid7(), Jsonb(data)
        )[0]

    def _execute(self, statement: str, *values: object) -> tuple[Any, ...]:
        found = self._connection.execute(statement.encode(), values).fetchone()
        if found is None:
            raise RuntimeError(f"no row: {statement}")
        return found
