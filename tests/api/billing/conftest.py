"""An organization that pays, at a Stripe of its own."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from api.billing.catalogue import set_up
from api.billing.provider import Provider
from api.billing.usage import report_usage
from api.billing.worker import learn_next
from api.kernel.database import Database as Pool
from contracts.settings import BillingSettings
from tests.conftest import Database
from tests.factories import Account, Api, start_api
from tests.stripe_server.account import Object
from tests.stripe_server.one_off import put_card
from tests.stripe_server.server import KEY, StripeServer, delivery, stripe_server

SECRET = "whsec_of_throw_away_servers"
_DRAFTED = """
insert into drafts (organization_id, id, version, request_key, kind, state, prompt, model, inputs_hash, cited, written,
    text, input_tokens, output_tokens, cost_micro, created_at)
select %s, gen_random_uuid(), 1, gen_random_uuid()::text, 'summary', %s, '', '', '', '{}', '', '', 0, 0, 0,
    date_trunc('hour', now()) - %s * interval '1 hour' + n * interval '1 millisecond'
from generate_series(1, %s) n
"""


@dataclass
class Till:
    """The owner of an organization, and the Stripe at which it pays. What it delivers waits in `undelivered`."""

    owner: Account
    stripe: StripeServer
    database: Database
    pool: Pool
    settings: BillingSettings
    undelivered: list[Object] = field(default_factory=list)

    @property
    def item(self) -> str:
        """Stripe's id of what the newest subscription is for."""
        found: str = self.stripe.account.all("subscription")[0]["items"]["data"][0]["id"]
        return found

    @property
    def seats(self) -> int:
        """How many seats it is for, as Stripe has it."""
        [item] = self.stripe.account.all("subscription")[0]["items"]["data"]
        return int(item["quantity"])

    async def another_api(self) -> Api:
        """Another API on the same database, as the environment configures it now."""
        return await start_api(self.database)

    async def deliver(self, events: list[Object]) -> None:
        """Have Stripe deliver events."""
        for event in events:
            body, headers = delivery(event, SECRET)
            answer = await self.owner.api.http.post("/v1/billing/deliveries", content=body, headers=headers)
            assert answer.status_code == 204, answer.text

    async def settle(self) -> None:
        """Deliver everything, and let the worker learn it."""
        events, self.undelivered[:] = list(self.undelivered), []
        await self.deliver(events)
        await self.learn()

    async def learn(self) -> None:
        """Let the worker learn what was delivered."""
        async with Provider(self.settings) as provider:
            while await learn_next(self.pool, provider, self.settings):
                pass

    async def subscribe(self, seats: int = 3, plan: str = "team", **body: Any) -> str:
        """Buy a plan; answers Stripe's id of the subscription."""
        body = {"plan": plan, "seats": seats, **body}
        await self.owner.made("/v1/billing/checkout", json=body)
        [session, *_] = self.stripe.account.all("checkout.session")
        with self.stripe.lock:
            made: str = self.stripe.account.pay_checkout(session["id"])["id"]
            put_card(self.stripe.account, session["customer"])
        await self.settle()
        return made

    async def pass_days(self, days: float) -> None:
        """Let time pass at Stripe, and settle what that brings."""
        with self.stripe.lock:
            self.stripe.account.advance(int(days * 86_400))
        await self.settle()

    async def read(self) -> Any:
        """What billing says."""
        return await self.owner.read("/v1/billing")

    async def connect(self, accounts: int) -> None:
        """Connect some accounts."""
        for number in range(accounts):
            account = {"channel": "telegram", "name": f"No. {number}", "address": f"+3519000{number:05d}"}
            await self.owner.made("/v1/bd-accounts", json=account)

    def draft(self, count: int, *, hours_ago: int, state: str = "generated") -> None:
        """Drafts were made in an hour of the past."""
        with psycopg.connect(self.database.admin_url, autocommit=True) as admin:
            admin.execute(_DRAFTED, [self.owner.organization_id, state, hours_ago, count])

    def paid_use(self, *, hours_ago: int) -> None:
        """Use has been paid for since an hour of the past."""
        with psycopg.connect(self.database.admin_url, autocommit=True) as admin:
            admin.execute(
                "update subscriptions set usage_since = date_trunc('hour', now()) - %s * interval '1 hour'"
                " where organization_id = %s",
                [hours_ago, self.owner.organization_id],
            )

    async def report(self) -> int:
        """Let the worker tell Stripe of use."""
        async with Provider(self.settings) as provider:
            return await report_usage(self.pool, provider)


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    """A Stripe with our catalogue."""
    with stripe_server() as server:
        asyncio.run(_set_up(settings_of(server)))
        yield server


async def _set_up(settings: BillingSettings) -> None:
    async with Provider(settings) as provider:
        assert await set_up(provider)
        assert await set_up(provider) == []


def settings_of(server: StripeServer, **changes: Any) -> BillingSettings:
    """Settings by which billing reaches a test's Stripe."""
    given: dict[str, Any] = {"stripe_secret_key": SecretStr(KEY), "stripe_webhook_secrets": SecretStr(SECRET)}
    return BillingSettings(**given | {"stripe_api_url": server.url} | changes)


@pytest_asyncio.fixture
async def api(api_database: Database, stripe: StripeServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """The application, with billing on."""
    monkeypatch.setenv("SLUICE_STRIPE_SECRET_KEY", KEY)
    monkeypatch.setenv("SLUICE_STRIPE_WEBHOOK_SECRETS", SECRET)
    monkeypatch.setenv("SLUICE_STRIPE_API_URL", stripe.url)
    monkeypatch.setenv("SLUICE_BILLING_TRIAL_DAYS", "0")
    started = await start_api(api_database)
    yield started
    await started.close()


@pytest_asyncio.fixture
async def till(api: Api, api_database: Database, stripe: StripeServer) -> AsyncIterator[Till]:
    """An organization that may pay."""
    pool = Pool(api_database.worker_url, pool_size=2)
    made = Till(await api.sign_up(), stripe, api_database, pool, settings_of(stripe))
    stripe.account.tell = made.undelivered.append
    yield made
    await pool.close()
    with psycopg.connect(api_database.admin_url, autocommit=True) as admin:  # the next Stripe knows nothing of it
        admin.execute("delete from usage_reports")


@pytest.fixture
def dice() -> random.Random:
    """The same dice in every run."""
    return random.Random(16)
