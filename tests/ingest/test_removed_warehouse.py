"""Somebody removes the warehouse: the loader notices, also without a new event, and takes all from PostgreSQL."""

import shutil
from pathlib import Path

import psycopg
import pytest

from ingest.loader import Loader
from ingest.relay import Relay
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.loading import Settings, is_complete
from tests.ingest.writers import insert_events, relay_settings, running


@pytest.fixture(params=["delta", "postgres"])
def settings(
    request: pytest.FixtureRequest, database: Database, fresh_broker: RunningBroker, tmp_path: Path
) -> Settings:
    url = f"duckdb://{tmp_path / 'warehouse'}" if request.param == "delta" else database.admin_url
    return relay_settings(database, fresh_broker, url)


def _remove(settings: Settings) -> None:
    url = settings[2].warehouse_url.get_secret_value()
    if url.startswith("duckdb"):
        shutil.rmtree(url.removeprefix("duckdb://"))
    else:
        with psycopg.connect(url) as connection:
            connection.execute("drop schema raw cascade")


def test_g4_what_only_postgresql_has_comes_back_though_nothing_new_happens(
    database: Database, settings: Settings, fresh_broker: RunningBroker
) -> None:
    database_settings, kafka, warehouse = settings
    with (
        running(lambda stop: Relay(*settings).run(stop)),
        running(lambda stop: Loader(kafka, warehouse, database_settings).run(stop)),
    ):
        insert_events(database.app_url, 200)
        eventually(lambda: is_complete(database, settings), what="raw is complete")
        # the broker forgets, too: nobody but PostgreSQL has these events any more
        fresh_broker.kill()
        fresh_broker.start()
        insert_events(database.app_url, 10)
        eventually(lambda: is_complete(database, settings), seconds=60, what="raw is complete in the next epoch")
        _remove(settings)
        eventually(lambda: is_complete(database, settings), seconds=60, what="the loader took all from PostgreSQL")
