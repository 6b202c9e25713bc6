"""Operators hear of what is wrong once, and once that it is over: by a real mail server, by a real webhook."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from aiosmtpd.controller import Controller

from metrics.status import Check, CheckState, GroupStatus
from orchestration.defs.sensors import alerts
from orchestration.warehouse import Warehouse
from runtime.process import free_port
from tests.conftest import Database
from tests.ingest.writers import insert_events
from tests.warehouse_builder import duckdb_warehouse


class Mailbox:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        self.taken.append(envelope.content.decode())
        return "250 taken"


@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address, and what was posted there."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", taken
    server.shutdown()
    server.server_close()


@pytest.fixture
def warehouse(tmp_path: Path, database: Database) -> Warehouse:
    settings = duckdb_warehouse(tmp_path)
    return Warehouse(settings=settings, dbt_target_path=tmp_path, event_log_url=database.relay_url)


def look(warehouse: Warehouse, cursor: str | None) -> str | None:
    """One look of the sensor's; what it remembers."""
    context = dg.build_sensor_context(cursor=cursor, resources={"warehouse": warehouse})
    alerts(context)
    return context.cursor


def test_each_thing_is_told_once_and_that_it_is_over(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox, port = Mailbox(), free_port()
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    for name, value in {"HOST": "127.0.0.1", "PORT": str(port), "SECURITY": "none"}.items():
        monkeypatch.setenv(f"SLUICE_SMTP_{name}", value)
    monkeypatch.setenv("SLUICE_ALERT_MAIL", "operators@example.com")
    failed = Check(name="raw: ids_present", status=CheckState.FAILED, message="3 events have no id.")
    try:
        with webhook() as (url, taken):
            monkeypatch.setenv("SLUICE_ALERT_WEBHOOK_URL", url)
            warehouse.status.update(checks=[failed], groups=[GroupStatus(name="sales", error="It broke.")])
            cursor = look(warehouse, None)
            cursor = look(warehouse, cursor)  # nothing new
            warehouse.status.update(checks=[], groups=[GroupStatus(name="sales")])
            look(warehouse, cursor)
    finally:
        server.stop()
    assert [len(one["begun"]) for one in taken] == [2, 0]
    assert taken[0]["begun"] == ["check raw: ids_present: 3 events have no id.", "group sales: It broke."]
    assert taken[1]["over"] == ["check raw: ids_present", "group sales"]
    assert ["Subject: Sluice: 2 wrong" in mailbox.taken[0], "well again" in mailbox.taken[1]] == [True, True]
    assert "To: operators@example.com" in mailbox.taken[0]


def test_what_could_not_be_told_is_told_with_the_next_look(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.status.update(groups=[GroupStatus(name="sales", error="It broke.")])
    with webhook(500) as (url, _):
        monkeypatch.setenv("SLUICE_ALERT_WEBHOOK_URL", url)
        context = dg.build_sensor_context(resources={"warehouse": warehouse})
        with pytest.raises(Exception, match="500"):
            alerts(context)
        assert context.cursor is None


def test_figures_that_lack_what_was_written_long_ago_are_late(
    warehouse: Warehouse, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as (url, taken):
        monkeypatch.setenv("SLUICE_ALERT_WEBHOOK_URL", url)
        cursor = look(warehouse, None)
        insert_events(database.app_url, 2)
        cursor = look(warehouse, cursor)  # written just now
        with psycopg.connect(database.admin_url) as admin:
            admin.execute("update event_log set recorded_at = recorded_at - interval '11 minutes'")
        cursor = look(warehouse, cursor)
        reached = GroupStatus(name="events", through=datetime.now(UTC) - timedelta(minutes=5))
        warehouse.status.update(groups=[reached])
        look(warehouse, cursor)
    assert [list(map(len, (one["begun"], one["over"]))) for one in taken] == [[1, 0], [0, 1]]
    assert "is in no figure yet" in taken[0]["text"]


def test_without_anybody_to_tell_nothing_is_looked_at(warehouse: Warehouse) -> None:
    assert look(warehouse, None) is None
