"""Accounts that are bought or rented: paid and handed over once, or undone whole, whenever the worker is killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from api.billing.payments import Payment, PaymentDeclined
from api.billing.provider import RefusedByStripe
from api.kernel.database import Database as Pool
from api.kernel.secrets import Secrets
from api.rentals.provider import HttpProvider
from api.rentals.worker import Saga
from contracts.access import Role
from contracts.settings import BillingSettings, RentalSettings
from tests.conftest import Database
from tests.factories import SECRET_KEY, Account, start_api

ORDER = {
    "offer_id": "tg-17",
    "channel": "telegram",
    "title": "Aged account",
    "kind": "rent",
    "price_minor": 2500,
    "currency": "EUR",
    "months": 3,
}


RENEWAL = {"months": 2}


class KilledError(BaseException):
    """The worker is gone at this very place."""


@dataclass
class World:
    """A provider and a bank that remember by key, and a place at which the worker dies, before or after a call."""

    provided: dict[str, str] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    called_off: set[str] = field(default_factory=set)
    refunded: set[str] = field(default_factory=set)
    refuses: str = ""
    declines: bool = False
    keeps_the_money: bool = False
    dies_at: int = 0
    stands_at: int = 0
    is_standing: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0

    async def _pass(self) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KilledError
        if self.calls == self.stands_at:
            self.is_standing.set()
            await self.goes_on.wait()

    async def stands(self) -> None:
        """Until somebody stands still at that call."""
        async with asyncio.timeout(30):
            await self.is_standing.wait()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """As the provider does."""
        await self._pass()
        done = self._provide(request)
        await self._pass()
        return done

    def _provide(self, request: httpx.Request) -> httpx.Response:
        _, kind, *rest = request.url.path.split("/")
        if kind == "offers":
            return httpx.Response(
                200,
                json=[
                    {
                        "id": "tg-17",
                        **{name: ORDER[name] for name in ("channel", "title", "kind", "price_minor", "currency")},
                    }
                ],
            )
        [key, *step] = rest
        if request.method == "DELETE":
            self.provided[key] = "given back"
            return httpx.Response(204)
        if self.refuses == (step[0] if step else "reserve") or self.provided.get(key) == "given back":
            return httpx.Response(409)
        if step:
            assert self.provided[key] in ("reserved", "handed over")
            self.provided[key] = "handed over"
            return httpx.Response(200, json={"address": f"+49{key[-8:]}", "secret": {"session": "canary-session"}})
        self.provided.setdefault(key, "reserved")
        return httpx.Response(200, json={name: ORDER[name] for name in ("channel", "kind", "price_minor", "currency")})

    async def charge(self, organization_id: UUID, *, key: str, amount_minor: int, currency: str, what: str) -> Payment:
        """As the bank does."""
        del organization_id, what
        await self._pass()
        if self.declines or key in self.called_off:
            self.called_off.add(key)
            raise PaymentDeclined("The card was refused.")
        self.paid.setdefault(key, amount_minor)
        await self._pass()
        return Payment(f"in_{key}", amount_minor, currency)

    async def refund(self, organization_id: UUID, payment_id: str | None, *, key: str) -> None:
        """As the bank does."""
        del organization_id
        await self._pass()
        if self.keeps_the_money:
            raise RefusedByStripe("Stripe says: not today.")
        if payment_id is not None:
            assert payment_id == f"in_{key}"
            self.refunded.add(key)
        await self._pass()


@dataclass
class Shop:
    """An organization that orders, and the worker."""

    owner: Account
    database: Database
    world: World
    saga: Saga

    async def order(self, **changes: Any) -> str:
        made: str = (await self.owner.made("/v1/rentals", json=ORDER | changes))["id"]
        return made

    async def work(self) -> None:
        """All that is due, by workers of which each begins where the one before was killed."""
        while True:
            with psycopg.connect(self.database.admin_url) as clock:
                clock.execute(
                    "update rentals set next_attempt_at = now() where next_attempt_at is not null"
                    " and (state <> 'active' or renewing_months is not null or ends_at <= now())"
                )
            with suppress(KilledError):
                if not await self.saga.step():
                    return

    async def read(self, rental_id: str) -> dict[str, Any]:
        return await self.owner.read(f"/v1/rentals/{rental_id}")


@pytest_asyncio.fixture
async def shop(api_database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setenv("SLUICE_RENTAL_URL", "http://rental.example")
    from_environment = RentalSettings()
    world, pool = World(), Pool(api_database.worker_url)
    api = await start_api(api_database)
    async with HttpProvider(from_environment, transport=httpx.MockTransport(world.answer)) as provider:
        saga = Saga(pool, provider, world, Secrets([SECRET_KEY]), BillingSettings())
        yield Shop(await api.sign_up(), api_database, world, saga)
    await pool.close()
    await api.close()


@pytest.mark.parametrize("dies_at", range(7))
async def test_an_account_is_paid_and_handed_over_once_wherever_the_worker_dies(shop: Shop, dies_at: int) -> None:
    shop.world.dies_at = dies_at
    one = await shop.order()
    await shop.work()
    rental = await shop.read(one)
    assert (rental["state"], rental["failure"]) == ("active", None)
    assert shop.world.provided == {one: "handed over"}
    assert shop.world.paid == {f"rental:{one}": 7500}
    assert shop.world.refunded == set()
    [account] = (await shop.owner.read("/v1/bd-accounts"))["items"]
    assert (account["id"], account["state"]) == (rental["account_id"], "connecting")
    with psycopg.connect(shop.database.admin_url) as admin:
        [(secret,)] = admin.execute("select secret from bd_accounts where id = %s", (account["id"],)).fetchall()
    assert b"canary" not in secret
    with psycopg.connect(shop.database.admin_url) as clock:
        clock.execute("update rentals set ends_at = now() where id = %s", (one,))
    await shop.work()
    assert (await shop.read(one))["state"] == "returned"
    assert shop.world.provided == {one: "given back"}
    assert (await shop.owner.read(f"/v1/bd-accounts/{account['id']}"))["state"] == "revoked"
    assert shop.world.refunded == set()


@pytest.mark.parametrize("dies_at", range(11))
async def test_what_cannot_be_handed_over_is_undone_and_paid_back_wherever_the_worker_dies(
    shop: Shop, dies_at: int
) -> None:
    shop.world.dies_at, shop.world.refuses = dies_at, "hand-over"
    one = await shop.order()
    await shop.work()
    rental = await shop.read(one)
    assert (rental["state"], rental["failure"], rental["account_id"]) == ("cancelled", "http_409", None)
    assert shop.world.provided == {one: "given back"}
    assert shop.world.refunded == shop.world.paid.keys() == {f"rental:{one}"}
    assert (await shop.owner.read("/v1/bd-accounts"))["items"] == []


@pytest.mark.parametrize(
    ("stands_at", "refuses", "state"),
    [
        (1, "", "active"),
        (3, "", "active"),
        (6, "", "active"),
        (5, "hand-over", "cancelled"),
        (7, "hand-over", "cancelled"),
        (10, "hand-over", "cancelled"),
    ],
)
async def test_who_stands_still_for_longer_than_their_minute_changes_nothing_of_what_another_did(
    shop: Shop, stands_at: int, refuses: str, state: str
) -> None:
    shop.world.stands_at, shop.world.refuses = stands_at, refuses
    one = await shop.order()
    first = asyncio.create_task(shop.work())
    await shop.world.stands()
    await shop.work()
    done = await shop.read(one), dict(shop.world.provided), dict(shop.world.paid), set(shop.world.refunded)
    shop.world.goes_on.set()
    await first
    assert (await shop.read(one), shop.world.provided, shop.world.paid, shop.world.refunded) == done
    assert done[0]["state"] == state
    assert len((await shop.owner.read("/v1/bd-accounts"))["items"]) == (1 if state == "active" else 0)


async def test_who_comes_back_late_with_a_renewal_does_not_end_the_next_one(shop: Shop) -> None:
    one = await shop.order()
    await shop.work()
    shop.world.stands_at = shop.world.calls + 2
    await shop.owner.post(f"/v1/rentals/{one}/renew", json=RENEWAL)
    first = asyncio.create_task(shop.saga.step())
    await shop.world.stands()
    await shop.work()
    await shop.owner.post(f"/v1/rentals/{one}/renew", json={"months": 7})
    shop.world.goes_on.set()
    await first
    await shop.work()
    assert (await shop.read(one))["months"] == 3 + 2 + 7
    assert shop.world.paid == {f"rental:{one}": 7500, f"rental:{one}:1": 5000, f"rental:{one}:2": 17500}


@pytest.mark.parametrize("dies_at", range(3))
async def test_a_rent_goes_on_for_as_long_as_it_is_paid(shop: Shop, dies_at: int) -> None:
    one = await shop.order()
    await shop.work()
    before = await shop.read(one)
    shop.world.dies_at = shop.world.calls + dies_at if dies_at else 0
    asked = await shop.owner.post(f"/v1/rentals/{one}/renew", json=RENEWAL)
    assert asked.json()["renewing_months"] == 2
    for path, body in ((f"/v1/rentals/{one}/renew", RENEWAL), (f"/v1/rentals/{one}/hand-back", None)):
        refused = await shop.owner.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "renewal_under_way")
    await shop.work()
    after = await shop.read(one)
    assert (after["state"], after["months"], after["renewing_months"], after["failure"]) == ("active", 5, None, None)
    later = datetime.fromisoformat(after["ends_at"]) - datetime.fromisoformat(before["ends_at"])
    assert later == timedelta(days=60)
    assert shop.world.paid == {f"rental:{one}": 7500, f"rental:{one}:1": 5000}
    shop.world.declines = True
    assert (await shop.owner.post(f"/v1/rentals/{one}/renew", json=RENEWAL)).status_code == 200
    await shop.work()
    declined = await shop.read(one)
    assert (declined["state"], declined["failure"], declined["ends_at"]) == (
        "active",
        "payment_declined",
        after["ends_at"],
    )
    shop.world.declines = False  # the card was seen to
    assert (await shop.owner.post(f"/v1/rentals/{one}/renew", json={"months": 1})).status_code == 200
    await shop.work()
    assert ((await shop.read(one))["months"], (await shop.read(one))["failure"]) == (6, None)
    await shop.owner.post(f"/v1/rentals/{one}/hand-back")
    await shop.work()
    gone = await shop.owner.post(f"/v1/rentals/{one}/renew", json=RENEWAL)
    assert (gone.status_code, gone.json()["code"]) == (409, "nothing_to_renew")
    with psycopg.connect(shop.database.admin_url) as admin:
        told = admin.execute(
            "select type from event_log where aggregate_id = %s order by aggregate_version", (one,)
        ).fetchall()
    names = ("ordered", "handed_over", "renewed", "renewed", "handed_back")
    assert [kind for (kind,) in told] == [f"rental.{name}" for name in names]


async def test_what_is_not_paid_or_costs_more_than_shown_is_undone(shop: Shop) -> None:
    dearer = await shop.order(price_minor=100)
    await shop.work()
    assert (await shop.read(dearer))["failure"] == "price_changed"
    shop.world.declines = True
    declined = await shop.order()
    await shop.work()
    assert ((await shop.read(declined))["state"], (await shop.read(declined))["failure"]) == (
        "cancelled",
        "payment_declined",
    )
    assert set(shop.world.provided.values()) == {"given back"}
    assert shop.world.paid == {}


async def test_what_is_let_is_not_sold(shop: Shop) -> None:
    one = await shop.order(kind="purchase", months=None)
    await shop.work()
    assert ((await shop.read(one))["state"], (await shop.read(one))["failure"]) == ("cancelled", "another_offer")
    assert shop.world.paid == {}


async def test_the_plan_limits_accounts_that_are_bought_as_well(shop: Shop) -> None:
    billing = BillingSettings(stripe_secret_key=SecretStr("sk_test_of_this_test"))
    shop.saga = replace(shop.saga, billing=billing)
    await shop.owner.made("/v1/bd-accounts", json={"channel": "telegram", "name": "One", "address": "+351900000001"})
    one = await shop.order()
    await shop.work()
    assert ((await shop.read(one))["state"], (await shop.read(one))["failure"]) == ("cancelled", "plan_limit_reached")
    assert shop.world.refunded == shop.world.paid.keys() == {f"rental:{one}"}


async def test_an_order_that_cannot_be_paid_back_yet_waits_and_ends_no_worker(shop: Shop) -> None:
    shop.world.refuses, shop.world.keeps_the_money = "hand-over", True
    one = await shop.order()
    while await shop.saga.step():
        pass
    assert (await shop.read(one))["state"] == "cancelling"
    shop.world.keeps_the_money = False
    await shop.work()
    assert ((await shop.read(one))["state"], shop.world.refunded) == ("cancelled", {f"rental:{one}"})


async def test_only_administrators_order_and_give_back_what_they_have(shop: Shop) -> None:
    rep = await shop.owner.add_user(role=Role.REP)
    assert (await rep.post("/v1/rentals", json=ORDER)).status_code == 403
    one = await shop.order()
    answer = await shop.owner.post(f"/v1/rentals/{one}/hand-back")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_give_back")
    await shop.work()
    assert (await shop.owner.post(f"/v1/rentals/{one}/hand-back")).json()["state"] == "returning"
    await shop.work()
    assert [entry["state"] for entry in (await rep.read("/v1/rentals"))["items"]] == ["returned"]
    for bad in ({"months": None}, {"kind": "purchase"}, {"currency": "euro"}, {"price_minor": -1}):
        assert (await shop.owner.post("/v1/rentals", json=ORDER | bad)).status_code == 422


async def test_it_is_off_unless_somebody_sells(owner: Account) -> None:
    for answer in (await owner.get("/v1/rental-offers"), await owner.post("/v1/rentals", json=ORDER)):
        assert (answer.status_code, answer.json()["code"]) == (409, "rentals_off")
    assert (await owner.read("/v1/rentals"))["items"] == []
