"""The least that FastAPI and psycopg can do for the same requests: what the API's figures are held against.

The same rows written and the same rows read, by the statements that anybody would write, out of one pool. No sign-in,
no row-level security, no rules, nothing checked.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI, Request, Response
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel
from pydantic_core import to_json
from uuid_utils.compat import uuid7

_CONNECTIONS = 8

_EVENT = """
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
    occurred_at, actor, actor_id, correlation_id, data)
values (%s, %s, 'deal.created', 1, 'deal', %s, 1, %s, 'user', %s, %s, %s)"""
_DEAL = """
insert into deals (organization_id, id, version, created_at, pipeline_id, stage_id, stage_entered_at, status, title,
    amount_minor, currency, owner_id, last_occurred_at)
values (%s, %s, 1, %s, %s, %s, %s, 'open', %s, %s, 'EUR', %s, %s)"""
_KEY = """
insert into idempotency_keys (organization_id, user_id, key, fingerprint, status, headers, body)
values (%s, %s, %s, %s, 201, %s, %s)"""

_DEALS_OF_A_STAGE = """
select id, version, pipeline_id, stage_id, stage_entered_at, status, title, amount_minor, currency, owner_id,
    company_id, contact_id, source_id, close_date, lost_reason_id, external_id, created_at, updated_at
from deals where organization_id = %s and deleted_at is null and stage_id = %s order by id desc limit 51"""
_ME = """
select u.id, u.version, u.email, u.name, u.role, u.record_scope, u.is_active, u.created_at, u.updated_at, m.team_id,
    to_jsonb(o) as organization
from users u
join organizations o on o.organization_id = u.organization_id
left join team_members m on m.organization_id = u.organization_id and m.user_id = u.id and m.ended_at is null
where u.organization_id = %s and u.id = %s"""

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


class NewDeal(BaseModel):
    """A deal, and who makes it: nobody is signed in."""

    organization_id: UUID
    user_id: UUID
    pipeline_id: UUID
    stage_id: UUID
    title: str
    amount_minor: int


def make_app(url: str) -> FastAPI:
    """Three endpoints over a pool of the database at `url`, as a role that row-level security does not hold."""
    pool: Pool = AsyncConnectionPool(
        url, min_size=_CONNECTIONS, max_size=_CONNECTIONS, kwargs={"row_factory": dict_row}, open=False
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/deals")
    async def create_deal(body: NewDeal, request: Request) -> Response:
        deal_id, now = uuid7(), datetime.now(UTC)
        organization_id, user_id = body.organization_id, body.user_id
        facts = {
            "pipeline_id": str(body.pipeline_id),
            "to_stage_id": str(body.stage_id),
            "owner_id": str(user_id),
            "amount_minor": body.amount_minor,
            "currency": "EUR",
            **dict.fromkeys(("company_id", "contact_id", "source_id", "close_date")),
        }
        answer = to_json({"id": deal_id, "version": 1, "created_at": now, **body.model_dump()})
        async with pool.connection() as connection:
            await connection.execute(_EVENT, (uuid7(), organization_id, deal_id, now, user_id, uuid7(), Jsonb(facts)))
            await connection.execute(
                _DEAL,
                (organization_id, deal_id, now, body.pipeline_id, body.stage_id, now, body.title, body.amount_minor,
                 user_id, now),
            )  # fmt: skip
            key = request.headers["Idempotency-Key"]
            await connection.execute(_KEY, (organization_id, user_id, key, b"", Jsonb({}), answer))
        return Response(answer, 201, media_type="application/json")

    @app.get("/deals")
    async def list_deals(organization_id: UUID, stage_id: UUID) -> Response:
        return _json({"items": await _read(pool, _DEALS_OF_A_STAGE, organization_id, stage_id)})

    @app.get("/me")
    async def read_me(organization_id: UUID, user_id: UUID) -> Response:
        [me] = await _read(pool, _ME, organization_id, user_id)
        return _json(me)

    return app


async def _read(pool: Pool, statement: str, *values: object) -> list[dict[str, Any]]:
    async with pool.connection() as connection:
        return await (await connection.execute(statement.encode(), values)).fetchall()


def _json(value: object) -> Response:
    return Response(to_json(value), media_type="application/json")


def main() -> None:
    """Serve on a port until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--url", required=True)
    arguments = parser.parse_args()
    uvicorn.run(make_app(arguments.url), port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
