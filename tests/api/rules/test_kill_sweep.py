"""R-1: the rules' worker as a process, killed fifty times at work: each rule has fired once on each event."""

import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runtime.process import ManagedProcess, ProcessSpec, free_port
from tests.api.rules.conftest import Shop, until
from tests.conftest import Database
from tests.imports.processes import process_environment

_KILLS, _DEALS_EACH = 50, 12
TASK = {"do": "task.create", "with": {"title": "Call"}}


@pytest.fixture(params=["broker", "nobody"])
def worker(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[ManagedProcess]:
    """The worker, for rules alone; it hears of events from a broker (`--kafka=cluster`: Apache Kafka) and its relay, or
    has the log alone."""
    environment = process_environment(database, tmp_path, port=free_port())
    environment["SLUICE_DATABASE_RELAY_URL"] = database.relay_url
    has_broker = request.param == "broker"
    servers = request.getfixturevalue("fresh_broker").bootstrap_servers if has_broker else f"127.0.0.1:{free_port()}"
    environment["SLUICE_KAFKA_BOOTSTRAP_SERVERS"] = servers
    processes = {
        name: ManagedProcess(
            ProcessSpec(
                name,
                [sys.executable, "-m", "runtime.serve", *argv],
                env=environment,
                cwd=Path(__file__).parents[3],
                ready=lambda: True,
            ),
            log_path=tmp_path / f"{name}.log",
        )
        for name, argv in (("worker", ("worker", "rules")), ("relay", ("relay",)))
    }
    if has_broker:
        processes["relay"].start()
    yield processes["worker"]
    for process in processes.values():
        process.kill()


@pytest.mark.slow
async def test_r1_fifty_kills_of_the_worker_neither_lose_nor_double_a_firing(
    shop: Shop, worker: ManagedProcess
) -> None:
    first, second, *_ = [name for name in shop.stages if name not in ("Won", "Lost")]
    rules = [
        await shop.rule("deal.created", TASK),
        await shop.rule("deal.created", shop.move_to(second), when=f'deal.stage == "{first}"'),
        await shop.rule("deal.stage.changed", TASK, when=f'deal.stage == "{second}"'),
    ]
    generator, deals = random.Random(20261128), 0
    for _ in range(_KILLS):
        before = _fired(shop)
        shop.owner = await shop.owner.api.sign_in(shop.owner.email, shop.owner.password)  # a token lasts 15 minutes
        for _ in range(_DEALS_EACH):
            await shop.deal(stage_id=shop.stages[first])
            deals += 1
        worker.start()
        enough = before + generator.randint(1, 2 * _DEALS_EACH)
        await until(lambda enough=enough: _fired(shop) >= enough, seconds=300)  # type: ignore[misc] # as it is now
        worker.kill()
    worker.start()
    await until(lambda: _fired(shop) == 3 * deals, seconds=300)
    for rule in rules:
        found = shop.rows("select count(*) n, count(distinct key) keys from rule_runs where rule_id = %s", rule["id"])
        assert (found[0]["n"], found[0]["keys"]) == (deals, deals)
        assert await _replayed(shop, rule) == {row["key"] for row in _keys(shop, rule)}  # what a replay says happens
    assert {row["outcome"] for row in shop.rows("select distinct outcome from rule_runs")} == {"done"}
    [counted] = shop.rows("""
        select (select count(*) from tasks) as tasks,
               (select count(*) from event_log where type = 'deal.stage.changed' and actor = 'rule') as moves,
               (select count(*) from event_log where type = 'trigger.executed') as executed
    """)
    assert counted == {"tasks": 2 * deals, "moves": deals, "executed": 3 * deals}
    assert not shop.rows("select 1 from consumed_events where parked_reason is not null")


async def _replayed(shop: Shop, rule: dict[str, Any]) -> set[str]:
    now = datetime.now(UTC)
    body = {"begins": (now - timedelta(days=1)).isoformat(), "ends": (now + timedelta(days=1)).isoformat()}
    found = await shop.owner.made(f"/v1/rules/{rule['id']}/backtest", json=body)
    return {one["key"] for one in found["firings"]}


def _keys(shop: Shop, rule: dict[str, Any]) -> list[dict[str, Any]]:
    return shop.rows("select key from rule_runs where rule_id = %s", rule["id"])


def _fired(shop: Shop) -> int:
    return int(shop.rows("select count(*) as n from rule_runs")[0]["n"])
