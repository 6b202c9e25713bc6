"""A-16: deliveries come shuffled, doubled and late, while whoever learns them is killed again and again."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.billing.provider import Provider
from api.billing.reconcile import reconcile
from tests.api.billing.conftest import Till
from tests.eventually import eventually
from tests.stripe_server.account import PERIODS


@contextmanager
def _learner(till: Till) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-m", "tests.api.billing.learner", till.database.worker_url]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    try:
        yield process
    finally:
        process.communicate()


def _kill(learner: "subprocess.Popen[str]") -> None:
    assert learner.stdin is not None
    learner.stdin.write("\n")
    learner.stdin.flush()


def _change(till: Till, subscription: str, dice: random.Random) -> None:
    with till.stripe.lock:
        till.stripe.account.advance(dice.randrange(1, PERIODS["month"] // 3))
        seats = dice.choice([one for one in range(1, 40) if one != till.seats])
        till.stripe.account.change(subscription, {"items": [{"id": till.item, "quantity": seats}]})


@pytest.mark.parametrize(("deliveries", "kills"), [(120, 2), pytest.param(10_000, 20, marks=pytest.mark.slow)])
async def test_a16_shuffled_doubled_and_late_deliveries_end_in_stripes_state_whoever_is_killed(
    till: Till, dice: random.Random, deliveries: int, kills: int
) -> None:
    subscription = await till.subscribe(seats=5)
    with _learner(till) as learner, psycopg.connect(till.database.admin_url, autocommit=True) as admin:
        delivered = 0
        for _ in range(kills):
            some = 0
            while some < deliveries / kills:
                for _ in range(dice.randrange(1, 5)):
                    _change(till, subscription, dice)
                events = [event for event in till.undelivered for _ in range(dice.randrange(1, 4))]
                dice.shuffle(events)
                late = len(events) // 4  # come with the next ones
                till.undelivered[:] = events[:late]
                await till.deliver(events[late:])
                some += len(events) - late
            _kill(learner)
            events, till.undelivered[:] = list(till.undelivered), []
            await till.deliver(events)
            _quiet(admin)
            await _same(till)
            delivered += some + len(events)
        print({"delivered": delivered, "kills": kills, "events": len(till.stripe.account.events)})
    async with Provider(till.settings) as provider:
        assert (await reconcile(till.pool, provider, till.settings)).repaired == []
    _once(_told(till))


def _quiet(admin: "psycopg.Connection[Any]") -> None:
    """Wait until nothing is left to learn; what a killed worker had taken has its turn at once."""

    def is_quiet() -> bool:
        admin.execute("update stripe_events set due_at = now() where done_at is null and attempts > 0")
        [left] = admin.execute("select count(*) from stripe_events where done_at is null").fetchall()
        return bool(left[0] == 0)

    eventually(is_quiet, seconds=600, every=0.2)


async def _same(till: Till) -> None:
    """Seats and invoices are what Stripe says they are."""
    till.owner = await till.owner.api.sign_in(till.owner.email)  # a sweep takes longer than an access token lasts
    assert (await till.read())["subscription"]["seats"] == till.seats
    with psycopg.connect(till.database.admin_url) as admin:
        kept = admin.execute(
            "select provider_invoice_id, status, total_minor, paid_minor from invoices where organization_id = %s",
            [till.owner.organization_id],
        ).fetchall()
    account = till.stripe.account
    there = {(one["id"], one["status"], one["total"], one["amount_paid"]) for one in account.all("invoice")}
    assert set(kept) == there


def _told(till: Till) -> list[tuple[str, str, Any]]:
    """What was said of the organization's billing: of what, which type, which facts, in order."""
    with psycopg.connect(till.database.admin_url) as admin:
        return admin.execute(
            "select aggregate_id::text, type, data from event_log where organization_id = %s"
            " and aggregate_type in ('subscription', 'invoice') order by position",
            [till.owner.organization_id],
        ).fetchall()


def _once(rows: list[tuple[str, str, Any]]) -> None:
    """Each thing began once, and no change was said twice; a renewal changes nothing of what is said but the period."""
    by_id: dict[str, list[tuple[str, Any]]] = {}
    for aggregate_id, kind, data in rows:
        by_id.setdefault(aggregate_id, []).append((kind, data))
    repeats = 0
    for told in by_id.values():
        assert [kind.endswith(".created") for kind, _ in told] == [True] + [False] * (len(told) - 1)
        same = sum(before[1] == after[1] for before, after in pairwise(told))
        repeats += same
        assert same == 0 or told[0][0].startswith("subscription.")
    assert repeats < len(by_id)
