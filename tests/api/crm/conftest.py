"""Organizations and members for the CRM's tests. Rows of identity are written directly: sign-in has its own tests."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from api.edge.security import AccessClaims
from api.kernel.context import Context
from api.main import create_app
from api.pipelines.records import make_pipeline
from contracts.access import DEFAULT_SCOPES, Role
from contracts.events.envelope import ActorKind
from contracts.settings import ApiSettings, DatabaseSettings
from tests.conftest import Database


@dataclass(frozen=True)
class Member:
    """A signed-in user: calls the API, bodies as keyword `json`."""

    organization_id: UUID
    user_id: UUID
    http: httpx.AsyncClient

    async def get(self, path: str, *, params: dict[str, Any] | None = None) -> httpx.Response:
        return await self.http.get(path, params=params)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers=headers)

    async def patch(self, path: str, body: object, *, version: int) -> httpx.Response:
        return await self.http.patch(path, json=body, headers={"If-Match": f'"{version}"'})

    async def delete(self, path: str, *, version: int) -> httpx.Response:
        return await self.http.delete(path, headers={"If-Match": f'"{version}"'})

    async def made(self, path: str, body: object) -> dict[str, Any]:
        """Post and insist that it worked."""
        answer = await self.post(path, body)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def pipeline(self) -> dict[str, Any]:
        """The organization's first pipeline, its stages inside."""
        found: dict[str, Any] = (await self.get("/v1/pipelines")).json()["items"][0]
        return found

    async def deal(self, **fields: object) -> dict[str, Any]:
        """A deal in the first pipeline."""
        body = {"pipeline_id": (await self.pipeline())["id"], "title": "400 seats", **fields}
        return await self.made("/v1/deals", body)


@dataclass
class Crm:
    """The application on a database of its own."""

    app: FastAPI
    admin_url: str
    _clients: list[httpx.AsyncClient] = field(default_factory=list)

    async def organization(self, *, currency: str = "EUR") -> Member:
        """A new organization with its default pipeline; answers its owner."""
        organization_id = uuid7()
        with psycopg.connect(self.admin_url) as admin:
            admin.execute(
                "insert into organizations (organization_id, name, time_zone, currency, week_start,"
                " fiscal_year_start_month, version) values (%s, 'Org', 'Europe/Berlin', %s, 1, 1, 1)",
                (organization_id, currency),
            )
        owner = self.member(organization_id, Role.OWNER)
        context = Context(
            organization_id=organization_id,
            actor=ActorKind.USER,
            actor_id=owner.user_id,
            correlation_id=uuid7(),
        )
        async with self.app.state.services.database.unit(context) as unit:
            await unit.begin()
            make_pipeline(unit)
        return owner

    def member(self, organization_id: UUID, role: Role, *, is_active: bool = True) -> Member:
        """A user of the organization, signed in."""
        person_id, user_id, session_id = uuid7(), uuid7(), uuid7()
        now = datetime.now(UTC)
        with psycopg.connect(self.admin_url) as admin:
            email = f"{user_id}@example.com"
            admin.execute("insert into people (id, email, name) values (%s, %s, 'P')", (person_id, email))
            admin.execute(
                "insert into users (organization_id, id, version, person_id, email, name, role, record_scope,"
                " is_active) values (%s, %s, 1, %s, %s, 'P', %s, %s, %s)",
                (organization_id, user_id, person_id, email, role, DEFAULT_SCOPES[role], is_active),
            )
            admin.execute(
                "insert into sessions (organization_id, id, user_id, expires_at) values (%s, %s, %s, %s)",
                (organization_id, session_id, user_id, now + timedelta(hours=1)),
            )
        claims = AccessClaims(organization_id, user_id, session_id)
        token = self.app.state.services.access_tokens.issue(claims, now=now)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://api",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        self._clients.append(client)
        return Member(organization_id, user_id, client)

    def put_in_team(self, organization_id: UUID, *, manager: Member, members: list[Member]) -> None:
        """A team of these users."""
        team_id = uuid7()
        with psycopg.connect(self.admin_url) as admin:
            admin.execute(
                "insert into teams (organization_id, id, version, name, manager_id) values (%s, %s, 1, 'Team', %s)",
                (organization_id, team_id, manager.user_id),
            )
            for member in members:
                admin.execute(
                    "insert into team_members (organization_id, id, team_id, user_id, started_at)"
                    " values (%s, %s, %s, %s, now())",
                    (organization_id, uuid7(), team_id, member.user_id),
                )

    def events(self, aggregate_id: str) -> list[dict[str, Any]]:
        """The log's events of an aggregate, by version."""
        with psycopg.connect(self.admin_url, row_factory=psycopg.rows.dict_row) as admin:
            return admin.execute(
                "select * from event_log where aggregate_id = %s order by aggregate_version", (aggregate_id,)
            ).fetchall()

    async def close(self) -> None:
        """Close clients and connections."""
        for client in self._clients:
            await client.aclose()
        await self.app.state.services.database.close()


@pytest.fixture(scope="module")
def crm_database(make_database: Callable[[], Database]) -> Database:
    """One database for a module: each test has organizations of its own in it."""
    return make_database()


@pytest_asyncio.fixture
async def crm(crm_database: Database, tmp_path: Path) -> AsyncIterator[Crm]:
    """The application."""
    app = create_app(
        ApiSettings(secret_key=SecretStr("s" * 40), password_hash_memory_kib=64, files_path=tmp_path / "files"),
        DatabaseSettings(database_url=SecretStr(crm_database.app_url), database_pool_size=10),
    )
    running = Crm(app, crm_database.admin_url)
    yield running
    await running.close()


@pytest_asyncio.fixture
async def owner(crm: Crm) -> Member:
    """The owner of a new organization."""
    return await crm.organization()


@pytest_asyncio.fixture
async def stranger(crm: Crm) -> Member:
    """The owner of another organization."""
    return await crm.organization()


def stage_ids(pipeline: dict[str, Any], kind: str) -> list[str]:
    """Ids of a pipeline's stages of one kind, in order."""
    return [stage["id"] for stage in pipeline["stages"] if stage["kind"] == kind]


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Insist on a problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    if code is not None:
        assert problem["code"] == code
    return problem
