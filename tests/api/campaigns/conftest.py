"""An organization with accounts, contacts and campaigns; their worker, its links, and a connector played by hand."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg.rows import dict_row
from pydantic import SecretStr

from api.campaigns.hearing import CONSUMER, TYPES, concerns, hear
from api.campaigns.links import Links
from api.campaigns.worker import Sequencer
from api.edge.consumer import consume
from api.edge.feed import Feed
from api.kernel.database import Database as Pool
from contracts.settings import SecretSettings
from tests.api.rules.conftest import no_broker, until
from tests.conftest import Database
from tests.factories import SECRET_KEY, Account, start_api

URL = "https://api.us.example"
ALWAYS = {"opens": "00:00", "closes": "24:00", "days": [1, 2, 3, 4, 5, 6, 7]}
MAIL = {"variants": [{"subject": "400 seats", "text": "Hello {{contact.first_name}}"}]}


@dataclass
class Outreach:
    """An owner, their worker's turns, and their accounts."""

    owner: Account
    database: Database
    pool: Pool
    sequencer: Sequencer
    accounts: dict[str, Any] = field(default_factory=dict)

    async def account(self, channel: str = "email", **more: Any) -> dict[str, Any]:
        """An account that works, held by the connector of the tests."""
        addresses = {"email": "sales@us.example", "telegram": "+4930123456"}
        body = {"channel": channel, "name": "Sales", "address": addresses[channel], "daily_limit": 1000, **more}
        made = await self.owner.made("/v1/bd-accounts", json=body)
        path = f"/v1/bd-accounts/{made['id']}"
        await self.owner.made(f"{path}/state", json={"state": "active"})
        held = made | await self.owner.made(f"{path}/lease", json={"holder": "one"})
        self.accounts[made["id"]] = held
        return held

    async def contact(self, name: str, email: str | None = None, **more: Any) -> dict[str, Any]:
        body = {"name": name, "email": email or f"{name.split()[0].lower()}@acme.example", **more}
        return await self.owner.made("/v1/contacts", json=body)

    async def campaign(self, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A campaign that may start: by mail, at any hour, as fast as it can."""
        if not self.accounts:
            await self.account()
        body: dict[str, Any] = {
            "name": "Seats",
            "legal_basis": "legitimate_interest",
            "basis_note": "They asked at the fair.",
            "account_ids": list(self.accounts),
            "steps": list(steps) or [MAIL, {**MAIL, "wait_days": 3}],
            "hours": ALWAYS,
            "pace": {"first_day": 10_000, "most": 10_000},
        }
        return await self.owner.made("/v1/campaigns", json=body | more)

    async def started(self, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
        campaign = await self.campaign(*steps, **more)
        return await self.owner.made(f"/v1/campaigns/{campaign['id']}/start")

    async def turns(self) -> int:
        """Let everybody take the turn that has come."""
        taken = 0
        while more := await self.sequencer.take_turns():
            taken += more
        return taken

    async def claim(self, account: dict[str, Any] | None = None, *, limit: int = 100) -> list[dict[str, Any]]:
        """What a connector is told to send now."""
        held = account or next(iter(self.accounts.values()))
        await self.owner.made(f"/v1/bd-accounts/{held['id']}/lease", json={"holder": "one"})
        body = {"account_id": held["id"], "epoch": held["epoch"], "limit": limit}
        jobs: list[dict[str, Any]] = (await self.owner.made("/v1/sends/claim", json=body))["sends"]
        return jobs

    async def tell(self, job: dict[str, Any], state: str = "sent", **more: Any) -> None:
        held = next(iter(self.accounts.values()))
        body = {"epoch": held["epoch"], "state": state, **more}
        await self.owner.made(f"/v1/sends/{job['send_id']}/result", json=body)

    async def send_all(self) -> list[dict[str, Any]]:
        """Turns, and whatever they queued sent; what went out."""
        await self.turns()
        jobs = await self.claim()
        for job in jobs:
            await self.tell(job)
        await self.hear()
        return jobs

    async def arrives(self, sender: str, text: str = "Tell me more", **more: Any) -> dict[str, Any]:
        """A message of theirs, which refers to nothing unless it is said."""
        held = next(iter(self.accounts.values()))
        number = len(self.rows("select id from messages"))
        name = f"<in{number}@acme.example>"
        message = {
            "provider_id": name, "thread_key": name, "address": sender, "direction": "in", "text": text,
            "occurred_at": self.rows("select clock_timestamp() as now")[0]["now"].isoformat(), **more,
        }  # fmt: skip
        body = {"account_id": held["id"], "epoch": held["epoch"], "messages": [message]}
        taken: list[dict[str, Any]] = (await self.owner.made("/v1/messages/inbound", json=body))["messages"]
        await self.hear()
        return taken[0]

    async def recipients(self, campaign: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
        path = f"/v1/campaigns/{campaign['id']}/recipients"
        items: list[dict[str, Any]] = (await self.owner.read(path, params={"limit": 200, **params}))["items"]
        return items

    async def one(self, campaign: dict[str, Any]) -> dict[str, Any]:
        """The campaign's only recipient."""
        [found] = await self.recipients(campaign)
        return found

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database.admin_url, row_factory=dict_row, autocommit=True) as admin:
            cursor = admin.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def events(self, kind: str = "campaign.%") -> list[dict[str, Any]]:
        """The organization's events of a kind, in order."""
        query = "select * from event_log where organization_id = %s and type like %s order by position"
        return self.rows(query, self.owner.organization_id, kind)

    def hurry(self) -> None:
        """Let the next steps' time come."""
        mine = self.owner.organization_id
        self.rows("update campaign_recipients set due_at = now() where organization_id = %s and due_at > now()", mine)

    @asynccontextmanager
    async def hearing(self) -> AsyncIterator[None]:
        """What the worker does with events; ended in whatever it does when the block ends."""
        feed = Feed(self.pool, connect=no_broker)
        wanted = partial(concerns, self.pool)
        task = asyncio.create_task(
            consume(self.pool, CONSUMER, hear, threading.Event(), types=TYPES, concerns=wanted, feed=feed)
        )
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def hear(self) -> None:
        """Take in whatever there is to hear."""
        async with self.hearing():
            await until(self._has_heard)

    def _has_heard(self) -> bool:
        parked = self.rows("select parked_reason from consumed_events where parked_reason is not null")
        assert not parked, parked
        left = self.rows(
            """
            select 1 from event_log e join consumers c on c.consumer = 'campaigns'
            where e.type in ('message.sent', 'message.failed', 'message.received', 'contact.erased')
              and e.position > c.settled_position and e.recorded_at >= c.since and not exists (
                select from consumed_events d where d.event_id = e.event_id and d.consumer = 'campaigns'
                and (d.consumed_at is not null or d.parked_reason is not null)) limit 1"""
        )
        return not left and bool(self.rows("select 1 from consumers where consumer = 'campaigns'"))


@pytest.fixture(scope="module")
def outreach_database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest_asyncio.fixture
async def outreach(outreach_database: Database) -> AsyncIterator[Outreach]:
    """A new organization."""
    api = await start_api(outreach_database)
    pool = Pool(outreach_database.worker_url, pool_size=8)
    links = Links(SecretSettings(secret_key=SecretStr(SECRET_KEY)), URL)
    made = Outreach(await api.sign_up(), outreach_database, pool, Sequencer(pool, links))
    await made.hear()
    yield made
    await pool.close()
    await api.close()
