"""`sluice up --demo` is ready when its figures can be seen."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from metrics.publication import PublishedFolder, version_at
from runtime.figures import Figures
from tests.conftest import Database
from tests.ingest.writers import insert_events


def _publish(folder: PublishedFolder, *, sales: datetime, access: datetime, minutes: int) -> None:
    version = version_at(datetime.now(UTC) + timedelta(minutes=minutes))
    parts = {
        name: {"version": version.version, "through": through and through.isoformat()}
        for name, through in (("sales", sales), ("access", access), ("sales (settled)", None))
    }
    record = {"version": version.version, "through": sales.isoformat(), "event_count": 5, "row_counts": {}}
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.path_of(version).touch()
    folder.write_record(version, json.dumps(record | {"manifest_hash": "", "code_version": "", "parts": parts}))
    folder.point_to(version)


def test_figures_are_seen_once_all_live_parts_know_the_newest_event(database: Database, tmp_path: Path) -> None:
    insert_events(database.app_url, 5)
    with psycopg.connect(database.relay_url) as connection:
        ((newest,),) = connection.execute("select max(recorded_at) from event_log").fetchall()
    instants = iter(range(100))
    figures = Figures(database.relay_url, f"duckdb://{tmp_path}", clock=lambda: float(next(instants)))
    assert not figures.are_seen()
    before = newest - timedelta(seconds=1)
    for minute, (sales, access, is_seen) in enumerate(
        ((before, before, False), (newest, before, False), (newest, newest, True))
    ):
        _publish(PublishedFolder(tmp_path), sales=sales, access=access, minutes=minute)
        assert figures.are_seen() is is_seen
