"""`sluice parked`: what a person is told of events that cannot be published, and how they let them go."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from runtime.cli import app
from tests.conftest import Database
from tests.ingest.writers import insert_event, new_id


def test_o5_parked_events_are_listed_with_reasons_and_released(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_DATABASE_RELAY_URL", database.relay_url)
    first, second = new_id(), new_id()
    with psycopg.connect(database.app_url) as connection:
        for aggregate_id in (first, second):
            insert_event(connection, aggregate_id, 1)
    with psycopg.connect(database.relay_url) as connection:
        connection.execute("update outbox set parked_reason = 'too large'")
    runner = CliRunner()
    listed = runner.invoke(app, ["parked", "--aggregate", str(first), "--json"])
    assert listed.exit_code == 0
    assert [(event["aggregate_id"], event["reason"]) for event in json.loads(listed.output)] == [
        (str(first), "too large")
    ]
    assert "1 events go" in runner.invoke(app, ["parked", "--release", "--aggregate", str(first)]).output
    assert f"deal {second} deal.deleted v1: too large" in runner.invoke(app, ["parked"]).output.replace("\n", " ")
    assert "1 events go" in runner.invoke(app, ["parked", "--release"]).output
    assert "0 events are parked." in runner.invoke(app, ["parked"]).output
