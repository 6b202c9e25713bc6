"""Whatever is killed or restarted, no event is lost or doubled."""

import json
import os
import signal
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from runtime.home import Home
from runtime.stack import Stack
from tests.e2e.conftest import SluiceStack, open_folder
from tests.eventually import eventually

_KILLED = ("relay", "loader", "broker", "api", "refresh", "worker", "archive", "postgres", "dashboards", "dagster")


class _Rep(threading.Thread):
    """Creates deals until told to stop and remembers which the API acknowledged."""

    def __init__(self, client: httpx.Client, pipeline_id: str) -> None:
        super().__init__(name="rep")
        self._client, self._pipeline_id = client, pipeline_id
        self._stop_asked = threading.Event()
        self.acknowledged: list[str] = []

    def run(self) -> None:
        while not self._stop_asked.wait(0.05):
            try:
                answer = self._client.post("/v1/deals", json={"pipeline_id": self._pipeline_id, "title": "Deal"})
            except httpx.TransportError:  # the API was killed: this write is unknown, the next is tried
                continue
            if answer.status_code == 201:
                self.acknowledged.append(answer.json()["id"])

    def finish(self) -> None:
        self._stop_asked.set()
        self.join(60)


def _created(client: httpx.Client, pipeline_id: str) -> int:
    year = datetime.now(UTC).year
    try:
        answer = client.get(
            "/v1/metrics/funnel",
            params={"pipeline_id": pipeline_id, "from": f"{year}-01-01", "to": f"{year + 1}-01-01"},
        )
        rows: list[dict[str, Any]] = answer.json().get("rows", [])
    except (httpx.TransportError, ValueError):
        return -1
    return max((row["entered"] for row in rows), default=0)


def _committed(stack: Stack) -> tuple[int, int]:
    """Deals created according to PostgreSQL, and distinct ids among them."""
    with psycopg.connect(stack.environment()["SLUICE_DATABASE_RELAY_URL"]) as connection:
        row = connection.execute(
            "select count(*), count(distinct aggregate_id) from event_log where type = 'deal.created'"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def _pid(sluice: SluiceStack, name: str) -> int | None:
    state = json.loads(Home(sluice.home).state_file.read_text())  # many looks a second: without a process for each
    rows = [row for row in state["processes"] if row["name"] == name]
    return rows[0]["pid"] if rows and rows[0]["state"] == "running" else None


def _kill_and_watch(sluice: SluiceStack, rep: _Rep, name: str) -> None:
    """Kill a process; it comes back, and writes are accepted again."""
    before, written = eventually(partial(_pid, sluice, name), what=f"{name} runs"), len(rep.acknowledged)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: (_pid(sluice, name) or before) != before, seconds=90, what=f"{name} is started again")
    eventually(
        lambda: len(rep.acknowledged) > written + 3, seconds=90, what=f"writes are accepted after {name} was killed"
    )


@pytest.mark.slow
def test_o1_every_process_is_killed_while_data_flows(sluice: SluiceStack) -> None:
    owner = sluice.sign_up("survivor")
    pipeline = owner.get("/v1/pipelines").raise_for_status().json()["items"][0]
    rep = _Rep(owner, pipeline["id"])
    rep.start()
    try:
        for name in _KILLED:
            _kill_and_watch(sluice, rep, name)
    finally:
        rep.finish()
    expected = eventually(lambda: _created(owner, pipeline["id"]) >= len(rep.acknowledged), seconds=120, what="funnel")
    assert expected
    for deal_id in rep.acknowledged[:: max(1, len(rep.acknowledged) // 20)]:
        assert owner.get(f"/v1/deals/{deal_id}").status_code == 200
    eventually(lambda: sluice.run("reconcile", check=False).returncode == 0, seconds=90, what="reconcile is clean")


@pytest.mark.slow
def test_a_second_up_finds_its_data_and_doubles_nothing() -> None:
    with open_folder() as folder:
        _stop_and_start(SluiceStack(folder / "home"))


def _stop_and_start(sluice: SluiceStack) -> None:
    sluice.up()
    try:
        owner = sluice.sign_up("returning")
        pipeline = owner.get("/v1/pipelines").raise_for_status().json()["items"][0]
        for number in range(30):
            owner.post("/v1/deals", json={"pipeline_id": pipeline["id"], "title": f"Deal {number}"}).raise_for_status()
        sluice.stop()  # at once: some events are on their way, and the broker forgets everything
        sluice.up()
        owner = sluice.sign_in("returning@example.org", "a-long-test-password")
        assert _committed(Stack(Home(sluice.home), sluice.ports, Home(sluice.home).secrets())) == (30, 30)
        eventually(lambda: _created(owner, pipeline["id"]) == 30, what="the funnel counts 30 deals")
        time.sleep(2)  # not to synchronise: a doubled event would arrive late
        assert _created(owner, pipeline["id"]) == 30
        eventually(lambda: sluice.run("reconcile", check=False).returncode == 0, what="reconcile is clean")
    finally:
        sluice.stop()


class TestRefusals:
    def test_a_second_supervisor_in_the_same_home_is_refused(self, sluice: SluiceStack) -> None:
        done = sluice.run("up", check=False)
        assert done.returncode == 2
        assert "already runs" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_taken_port_is_named(self, sluice: SluiceStack, tmp_path: Path) -> None:
        other = SluiceStack(tmp_path / "home", base=sluice.base)
        done = other.run("up", "--port-base", str(sluice.base), check=False)
        assert done.returncode == 2
        assert f"Port {sluice.base} " in done.stderr.replace("\n", " ")
        assert "--port-base" in done.stderr

    def test_status_of_a_stopped_stack_says_so(self, tmp_path: Path) -> None:
        done = SluiceStack(tmp_path / "home").run("status", check=False)
        assert done.returncode == 3
        assert "not running" in done.stdout
