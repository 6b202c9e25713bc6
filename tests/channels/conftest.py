"""The application, an account of it that a connector holds, and the servers that connectors speak with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import pytest

from ingest.channels.api import Api, Held
from tests.api.crm.conftest import Crm, Member, crm, crm_database, owner, stranger
from tests.channels.dovecot import Dovecot

__all__ = ["crm", "crm_database", "owner", "stranger"]

T = TypeVar("T")


async def soon(look: Callable[[], Awaitable[T]], *, seconds: float = 30) -> T:
    """What `look` answers, as soon as it is something."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):  # noqa: ASYNC110 # nothing tells of what another process does
            await asyncio.sleep(0.05)
    return found


class Connection:
    """An account as its connector has it."""

    def __init__(self, member: Member, api: Api, held: Held) -> None:
        self.owner, self.api, self.held = member, api, held

    async def messages(self, **params: Any) -> list[dict[str, Any]]:
        """All messages of the organization, oldest first."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = (
                await self.owner.get(
                    "/v1/messages", params={"limit": 200} | ({"cursor": cursor} if cursor else {}) | params
                )
            ).json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found[::-1]

    async def again(self, holder: str = "two") -> "Connection":
        """The same account held by another connector."""
        await self.api.release(self.held)
        return Connection(self.owner, self.api, await self.api.lease(self.held.id, holder))

    async def account(self) -> dict[str, Any]:
        """The account as people see it."""
        found: dict[str, Any] = (await self.owner.get(f"/v1/bd-accounts/{self.held.id}")).json()
        return found


Connecting = Callable[..., Any]


@pytest.fixture
def connecting(crm: Crm, owner: Member) -> Connecting:  # the fixture above
    """Make an account, and hold it by a service's key."""

    async def make(channel: str, address: str, *, secret: dict[str, str], **settings: Any) -> Connection:
        body = {"channel": channel, "name": "Ours", "address": address, "settings": settings}
        made = await owner.made("/v1/bd-accounts", body)
        await owner.made(f"/v1/bd-accounts/{made['id']}/secret", {"values": secret})
        scopes = ["accounts:read", "accounts:write", "channels:write", "files:read", "files:write"]
        key = await owner.made("/v1/api-keys", {"name": "Channels", "scopes": scopes, "role": "admin"})
        transport = httpx.ASGITransport(crm.app, raise_app_exceptions=True)
        api = Api("http://api", key["key"], transport=transport)
        return Connection(owner, api, await api.lease(UUID(made["id"]), "one"))

    return make


@pytest.fixture(scope="session")
def _dovecot(server_folder: Path) -> Iterator[Dovecot]:
    folder = server_folder / "dovecot"
    folder.mkdir()
    running = Dovecot(folder)
    yield running
    running.stop()


@pytest.fixture
def dovecot(_dovecot: Dovecot) -> Dovecot:
    """Dovecot with an empty mailbox."""
    _dovecot.clear()
    return _dovecot
