"""The API on a socket, with an organization in which there is something of everything, for Schemathesis to try."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from api.serve import SOCKETS
from contracts.access import Role
from runtime.process import free_port
from tests.conftest import Database
from tests.eventually import eventually
from tests.factories import Api, start_api


@dataclass(frozen=True)
class Served:
    """Where the API answers, and an access token of each role."""

    url: str
    tokens: dict[Role, str]


@contextmanager
def served(database: Database, **settings: Any) -> Iterator[Served]:
    """The API in a thread, with its own loop; `settings` as `start_api` takes them."""
    port, found = free_port(), {}
    started = threading.Event()
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        api = await start_api(database, access_token_seconds=7200, **settings)
        found.update(await _people(api))
        server = uvicorn.Server(uvicorn.Config(api.app, port=port, log_level="error", lifespan="off", **SOCKETS))
        servers.append(server)
        started.set()
        await server.serve()
        await api.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(300)
    eventually(lambda: servers[0].started, what="the API serves")
    httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=300).raise_for_status()  # made once, which takes a while
    try:
        yield Served(f"http://127.0.0.1:{port}", found)
    finally:
        servers[0].should_exit = True
        thread.join(30)


async def _people(api: Api) -> dict[Role, str]:
    owner = await api.sign_up()
    others = {role: await owner.add_user(role=role) for role in Role if role is not Role.OWNER}
    company = await owner.made("/v1/companies", json={"name": "Acme"})
    contact = await owner.made("/v1/contacts", json={"name": "Ada", "email": "ada@acme.example"})
    [pipeline] = (await owner.read("/v1/pipelines"))["items"]
    deal = {"title": "A deal", "pipeline_id": pipeline["id"], "company_id": company["id"]}
    made = await owner.made("/v1/deals", json=deal | {"contact_id": contact["id"]})
    await owner.made("/v1/tasks", json={"title": "Call", "deal_id": made["id"]})
    await owner.made("/v1/notes", json={"body": "Asked for a price.", "deal_id": made["id"]})
    return {Role.OWNER: owner.access_token} | {role: account.access_token for role, account in others.items()}
