"""F-2: two tenants, and anything may happen in any order; what must always hold is looked at after every step."""

import asyncio
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ingest.reconcile import reconcile
from tests.conftest import Database
from tests.eventually import eventually
from tests.factories import Account, start_api
from tests.faults.small_world import Seen, SmallWorld

_TENANTS = st.integers(0, 1)
_PICKS = st.integers(0, 10_000)
_AMOUNTS = st.integers(0, 10**12)
_SEEDS = st.integers(0, 2**32)
#: Minutes by which the clock of what was true is put back, or (negative) forth.
_CLOCK_JUMPS = st.sampled_from([None, None, None, 1, 90, 60 * 24 * 40, -60])
_REFUSALS = {404, 409, 412, 422}


@dataclass
class _Request:
    """A POST that was answered, to be repeated."""

    account: Account
    path: str
    body: dict[str, Any]
    key: str
    answer: httpx.Response


class SpineMachine(RuleBasedStateMachine):
    """`deals` holds, per tenant, what the API last said of each deal."""

    def __init__(self, world: SmallWorld) -> None:
        super().__init__()
        self.world = world
        world.reset()
        self.tenants = [world.sign_up(), world.sign_up()]
        self.colleagues = [world.run(account.add_user()).user_id for account in self.tenants]
        self.pipelines = [world.run(account.read("/v1/pipelines"))["items"][0] for account in self.tenants]
        self.deals: list[dict[str, dict[str, Any]]] = [{}, {}]
        self.requests: list[_Request] = []
        self.raw_is_stale = self.lists_are_stale = True

    # --- what people do

    @rule(tenant=_TENANTS, amount=_AMOUNTS, minutes=_CLOCK_JUMPS)
    def create(self, tenant: int, amount: int, minutes: int | None) -> None:
        body = {"pipeline_id": self.pipelines[tenant]["id"], "title": "Deal", "amount_minor": amount}
        answer = self._post(tenant, "/v1/deals", body | _occurred(minutes))
        assert (answer.status_code == 201) == (minutes is None or minutes >= 0)
        if answer.is_success:
            assert (answer.json()["amount_minor"], answer.json()["version"]) == (amount, 1)

    @precondition(lambda self: any(self.deals))
    @rule(tenant=_TENANTS, pick=_PICKS, stage=_PICKS, minutes=_CLOCK_JUMPS)
    def move(self, tenant: int, pick: int, stage: int, minutes: int | None) -> None:
        stages = [one for one in self.pipelines[tenant]["stages"] if one["kind"] == "open"]
        wanted = stages[stage % len(stages)]["id"]
        answer = self._command(tenant, pick, "move", {"stage_id": wanted} | _occurred(minutes))
        if answer is not None and answer.is_success and minutes is None:
            assert answer.json()["stage_id"] == wanted

    @precondition(lambda self: any(self.deals))
    @rule(tenant=_TENANTS, pick=_PICKS, minutes=_CLOCK_JUMPS, act=st.sampled_from(["win", "lose", "reopen"]))
    def close_or_reopen(self, tenant: int, pick: int, minutes: int | None, act: str) -> None:
        reason = {"reason": "Price"} if act == "lose" else {}
        answer = self._command(tenant, pick, act, reason | _occurred(minutes))
        if answer is not None and answer.is_success:
            assert answer.json()["status"] == {"win": "won", "lose": "lost", "reopen": "open"}[act]

    @precondition(lambda self: any(self.deals))
    @rule(tenant=_TENANTS, pick=_PICKS, amount=_AMOUNTS, is_stale=st.booleans(), minutes=_CLOCK_JUMPS)
    def change_amount(self, tenant: int, pick: int, amount: int, is_stale: bool, minutes: int | None) -> None:
        self._patch(tenant, pick, {"amount_minor": amount}, is_stale=is_stale, minutes=minutes)

    @precondition(lambda self: any(self.deals))
    @rule(tenant=_TENANTS, pick=_PICKS, has_owner=st.booleans())
    def change_owner(self, tenant: int, pick: int, has_owner: bool) -> None:
        self._patch(tenant, pick, {"owner_id": str(self.colleagues[tenant]) if has_owner else None})

    @precondition(lambda self: any(self.deals))
    @rule(tenant=_TENANTS, pick=_PICKS)
    def g5_reach_for_a_strangers_deal(self, tenant: int, pick: int) -> None:
        foreign = _picked(self.deals[1 - tenant], pick)
        if foreign is not None:
            account, path = self.tenants[tenant], f"/v1/deals/{foreign['id']}"
            assert self.world.run(account.get(path)).status_code == 404
            assert self.world.run(account.post(f"{path}/win", json={})).status_code == 404
            patched = account.patch(path, json={"amount_minor": 1}, version=foreign["version"])
            assert self.world.run(patched).status_code == 404

    @precondition(lambda self: self.requests)
    @rule(pick=_PICKS)
    def g7_repeat_a_request(self, pick: int) -> None:
        request = self.requests[pick % len(self.requests)]
        before = len(self.world.logged())
        again = self.world.run(
            request.account.post(request.path, json=request.body, headers={"Idempotency-Key": request.key})
        )
        assert (again.status_code, again.content) == (request.answer.status_code, request.answer.content)
        assert len(self.world.logged()) == before

    # --- what the spine does, and what is done to it

    @rule(relay=st.integers(0, 1), batch_size=st.sampled_from([1, 3, 50]))
    def relay(self, relay: int, batch_size: int) -> None:
        self.world.relays[relay].step(batch_size)

    @rule(relay=st.integers(0, 1))
    def kill_relay(self, relay: int) -> None:
        self.world.relays[relay].kill()

    @rule(relay=st.integers(0, 1), batch_size=st.sampled_from([1, 3, 50]))
    def kill_relay_after_it_has_sent(self, relay: int, batch_size: int) -> None:
        self.world.relays[relay].step(batch_size, is_killed_after_sending=True)

    @rule(seed=_SEEDS, limit=st.sampled_from([1, 4, 100]))
    def load(self, seed: int, limit: int) -> None:
        self.world.loader.step(random.Random(seed), limit=limit)
        self.raw_is_stale = True

    @rule(seed=_SEEDS)
    def kill_loader_before_it_commits(self, seed: int) -> None:
        self.world.loader.step(random.Random(seed), limit=100, is_killed_before_commit=True)

    @rule()
    def wake_a_loader_that_slept(self) -> None:
        self.world.loader.wake_zombie()
        self.raw_is_stale = True

    @rule(seed=_SEEDS)
    def deliver_a_record_twice(self, seed: int) -> None:
        self.world.repeat_record(random.Random(seed))

    @rule()
    def broker_forgets(self) -> None:
        self.world.broker.forget()

    @rule()
    def reconcile(self) -> None:
        report = reconcile(self.world.database.relay_url, self.world.warehouse)
        assert report.is_clean, str(report)

    # --- what always holds

    @invariant()
    def g2_log_and_topics_are_in_order(self) -> None:
        assert not _out_of_order(self.world.logged(), contiguous=True)
        assert not _out_of_order(self.world.published(), contiguous=False)

    @invariant()
    def g3_raw_has_each_record_once_and_in_order(self) -> None:
        if not self.raw_is_stale:
            return
        self.raw_is_stale = False
        loaded, logged = self.world.loaded(), set(self.world.logged())
        places = [place for _, place in loaded]
        assert len(places) == len(set(places)), "a record twice in raw"
        assert {event for event, _ in loaded} <= logged, "an event of raw that nobody logged"
        assert not _out_of_order((event for event, _ in loaded), contiguous=True)

    @invariant()
    def g5_each_tenant_sees_its_own_deals_as_they_were_answered(self) -> None:
        if not self.lists_are_stale:
            return
        self.lists_are_stale = False
        for account, deals in zip(self.tenants, self.deals, strict=True):
            listed = self.world.run(account.read("/v1/deals", params={"limit": 200}))["items"]
            assert {deal["id"]: deal for deal in listed} == deals

    def teardown(self) -> None:
        """G1: when all is healthy again, everything arrives."""
        # a session may have yet to notice that the broker forgot, and PostgreSQL that a session is over
        eventually(self._has_published_all, what="all is published")
        generator = random.Random(1)
        for _ in range(50):
            self.world.loader.step(generator, limit=1_000)
        self.raw_is_stale = True
        self.g2_log_and_topics_are_in_order()
        self.g3_raw_has_each_record_once_and_in_order()
        logged = set(self.world.logged())
        assert {event for event, _ in self.world.loaded()} == logged, "lost events"
        versions = self.world.query("select id, version from deals")
        newest = {event.aggregate_id: event.version for event in sorted(logged, key=lambda event: event.version)}
        assert all(newest[deal] == version for deal, version in versions)
        report = reconcile(self.world.database.relay_url, self.world.warehouse)
        assert (report.is_clean, report.in_flight) == (True, 0), str(report)
        self.world.rest()

    # --- how

    def _has_published_all(self) -> bool:
        for relay in self.world.relays:
            while relay.step(50):
                pass
        is_all = not self.world.query("select from outbox where published_at is null")
        return is_all and all(relay.is_running for relay in self.world.relays)

    def _command(self, tenant: int, pick: int, act: str, body: dict[str, Any]) -> httpx.Response | None:
        deal = _picked(self.deals[tenant], pick)
        return None if deal is None else self._post(tenant, f"/v1/deals/{deal['id']}/{act}", body)

    def _post(self, tenant: int, path: str, body: dict[str, Any]) -> httpx.Response:
        account, key, before = self.tenants[tenant], str(uuid4()), len(self.world.logged())
        answer = self.world.run(account.post(path, json=body, headers={"Idempotency-Key": key}))
        self._note(tenant, answer, before)
        if answer.is_success:
            self.requests.append(_Request(account, path, body, key, answer))
        return answer

    def _patch(
        self, tenant: int, pick: int, body: dict[str, Any], *, is_stale: bool = False, minutes: int | None = None
    ) -> None:
        deal = _picked(self.deals[tenant], pick)
        if deal is None:
            return
        before, version = len(self.world.logged()), deal["version"] - is_stale
        path = f"/v1/deals/{deal['id']}"
        answer = self.world.run(self.tenants[tenant].patch(path, json=body | _occurred(minutes), version=version))
        assert (answer.status_code == 412) == is_stale or answer.status_code == 422
        self._note(tenant, answer, before)

    def _note(self, tenant: int, answer: httpx.Response, before: int) -> None:
        """Remember the answer; what was refused must have left nothing in the log."""
        self.lists_are_stale = True
        if answer.is_success:
            deal = answer.json()
            known = self.deals[tenant].get(deal["id"], {"version": 0})
            assert len(self.world.logged()) - before == deal["version"] - known["version"]
            self.deals[tenant][deal["id"]] = deal
        else:
            assert answer.status_code in _REFUSALS, answer.text
            assert len(self.world.logged()) == before


def _occurred(minutes: int | None) -> dict[str, str]:
    return {} if minutes is None else {"occurred_at": (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()}


def _picked(deals: dict[str, dict[str, Any]], pick: int) -> dict[str, Any] | None:
    return list(deals.values())[pick % len(deals)] if deals else None


def _out_of_order(events: Iterable[Seen], *, contiguous: bool) -> dict[UUID, list[int]]:
    """Aggregates whose versions, in the order in which they were first seen, do not go up (by one from one on)."""
    seen: set[UUID] = set()
    versions: dict[UUID, list[int]] = {}
    for event in events:
        if event.id not in seen:
            seen.add(event.id)
            versions.setdefault(event.aggregate_id, []).append(event.version)
    return {
        key: found
        for key, found in versions.items()
        if (found != list(range(1, len(found) + 1)) if contiguous else any(a >= b for a, b in pairwise(found)))
    }


@pytest.fixture(scope="module")
def world(make_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    database: Database = make_database()
    with asyncio.Runner() as runner:
        api = runner.run(start_api(database, pool_size=2))
        small = SmallWorld(database, api, runner, tmp_path_factory.mktemp("worlds"))
        yield small
        small.close()
        runner.run(api.close())


def _run(world: SmallWorld, *, examples: int, steps: int) -> None:
    class Machine(SpineMachine):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),  # shrinking takes minutes; the printed steps are enough to follow
        ),
    )


def test_f2_whatever_happens_in_whatever_order_the_guarantees_hold(world: SmallWorld) -> None:
    _run(world, examples=4, steps=20)


def test_g2_what_was_sent_to_a_broker_that_forgot_is_read_by_nobody(world: SmallWorld) -> None:
    machine = SpineMachine(world)
    machine.create(tenant=0, amount=1, minutes=None)
    machine.relay(relay=0, batch_size=50)
    machine.close_or_reopen(tenant=0, pick=0, minutes=None, act="win")
    machine.broker_forgets()
    machine.relay(relay=0, batch_size=50)  # the win, to a broker that no longer knows of the deal
    machine.teardown()
    assert len(world.published()) == len(world.logged())


@pytest.mark.slow
def test_f2_two_hundred_long_runs_keep_the_guarantees(world: SmallWorld) -> None:
    _run(world, examples=200, steps=50)
