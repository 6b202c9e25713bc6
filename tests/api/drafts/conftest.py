"""A salesperson with a conversation, and the model that drafts for them."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from tests.conftest import Database
from tests.factories import Account, Api
from tests.model_server import ObedientModel, obedient_model

CUSTOMER = "ada.lovelace@acme.example"


@dataclass
class Desk:
    """The owner of an organization, an account of theirs, and a conversation with Ada Lovelace about a deal."""

    owner: Account
    database: Database
    account: dict[str, Any]
    conversation_id: str
    deal_id: str
    contact_id: str
    received: int = 1

    async def hear(self, text: str) -> None:
        """Ada writes."""
        self.received += 1
        self.account |= await self.owner.made(f"/v1/bd-accounts/{self.account['id']}/lease", json={"holder": "one"})
        await self.owner.made("/v1/messages/inbound", json=inbound(self.account, self.received, text))

    async def draft(self, **body: Any) -> dict[str, Any]:
        """Have a reply drafted."""
        body = {"kind": "reply", "conversation_id": self.conversation_id, **body}
        return await self.owner.made("/v1/drafts", json=body)

    async def waiting(self) -> list[dict[str, Any]]:
        """What a connector would send now."""
        body = {"account_id": self.account["id"], "epoch": self.account["epoch"]}
        found: list[dict[str, Any]] = (await self.owner.made("/v1/sends/claim", json=body))["sends"]
        return found

    def kinds_since(self, position: int) -> set[str]:
        """Types of the organization's events after a position."""
        with psycopg.connect(self.database.admin_url) as admin:
            query = "select distinct type from event_log where organization_id = %s and position > %s"
            return {kind for (kind,) in admin.execute(query, [self.owner.organization_id, position]).fetchall()}

    def newest(self) -> int:
        """The position of the newest event."""
        with psycopg.connect(self.database.admin_url) as admin:
            [(position,)] = admin.execute("select max(position) from event_log").fetchall()
            return int(position)

    def events(self, aggregate_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Events of something, in order."""
        with psycopg.connect(self.database.admin_url) as admin:
            return admin.execute(
                "select type, data from event_log where aggregate_id = %s order by position", [aggregate_id]
            ).fetchall()


def inbound(account: dict[str, Any], number: int, text: str) -> dict[str, Any]:
    """A mail from Ada, as a connector tells of it."""
    first = "<m1@acme.example>"
    message = {
        "provider_id": f"<m{number}@acme.example>",
        "thread_key": first,
        "address": CUSTOMER,
        "direction": "in",
        "subject": "400 seats",
        "text": text,
        "occurred_at": (datetime(2026, 5, 4, 12, tzinfo=UTC) + timedelta(minutes=number)).isoformat(),
        "references": [first] if number > 1 else [],
    }
    return {"account_id": account["id"], "epoch": account["epoch"], "messages": [message]}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObedientModel]:
    """The model that the API asks."""
    with obedient_model() as made:
        use_model(monkeypatch, made.url)
        yield made


def use_model(monkeypatch: pytest.MonkeyPatch, url: str, **settings: str) -> None:
    """Have the API ask another one."""
    given = {"OPENAI_API_KEY": "key", "OPENAI_BASE_URL": url, "OPENAI_MODEL": "small", **settings}
    for name, value in given.items():
        monkeypatch.setenv(f"SLUICE_{name}", value)


@pytest_asyncio.fixture
async def desk(api: Api, api_database: Database) -> AsyncIterator[Desk]:
    """The desk."""
    owner = await api.sign_up()
    contact = await owner.made("/v1/contacts", json={"name": "Ada Lovelace", "email": CUSTOMER})
    [pipeline, *_] = (await owner.read("/v1/pipelines"))["items"]
    deal = await owner.made(
        "/v1/deals",
        json={
            "pipeline_id": pipeline["id"],
            "stage_id": pipeline["stages"][0]["id"],
            "title": "Acme, 400 seats",
            "contact_id": contact["id"],
            "amount_minor": 100_000,
            "owner_id": str(owner.user_id),
        },
    )
    made = await owner.made("/v1/bd-accounts", json={"channel": "email", "name": "Ours", "address": "us@us.example"})
    path = f"/v1/bd-accounts/{made['id']}"
    await owner.made(f"{path}/state", json={"state": "active"})
    account = made | await owner.made(f"{path}/lease", json={"holder": "one"})
    text = f"Hello, this is Ada Lovelace, +49 30 901820, {CUSTOMER}. What do 400 seats cost?"
    taken = await owner.made("/v1/messages/inbound", json=inbound(account, 1, text))
    conversation_id = taken["messages"][0]["conversation_id"]
    yield Desk(owner, api_database, account, conversation_id, deal["id"], contact["id"])
