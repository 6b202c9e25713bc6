"""`sluice up --demo` is ready when its figures can be seen."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from contracts.warehouse import Group, Mart, Part, Speed
from metrics.publication import PublishedFolder, version_at
from runtime.figures import Figures
from tests.conftest import Database
from tests.ingest.writers import insert_events


def _publish(
    folder: PublishedFolder, *, sales: datetime, others: datetime, settled: datetime | None, minutes: int
) -> None:
    version = version_at(datetime.now(UTC) + timedelta(minutes=minutes))
    ends = {Part(mart.group, mart.speed): settled if mart.speed is Speed.SETTLED else others for mart in Mart} | {
        Part(Group.SALES, Speed.LIVE): sales
    }
    parts = {
        str(part): {"version": version.version, "through": through and through.isoformat()}
        for part, through in ends.items()
    }
    record = {"version": version.version, "through": sales.isoformat(), "event_count": 5, "row_counts": {}}
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.path_of(version).touch()
    folder.write_record(version, json.dumps(record | {"manifest_hash": "", "code_version": "", "parts": parts}))
    folder.point_to(version)


def test_figures_are_seen_once_live_parts_know_the_newest_event_and_settled_ones_are_there(
    database: Database, tmp_path: Path
) -> None:
    insert_events(database.app_url, 5)
    with psycopg.connect(database.relay_url) as connection:
        ((newest,),) = connection.execute("select max(recorded_at) from event_log").fetchall()
    instants = iter(range(100))
    figures = Figures(database.relay_url, f"duckdb://{tmp_path}", clock=lambda: float(next(instants)))
    assert not figures.are_seen()
    before = newest - timedelta(seconds=1)
    steps = [
        (before, before, None, False),
        (newest, before, before, False),
        (newest, newest, None, False),
        (newest, newest, before, True),
    ]
    for minute, (sales, others, settled, is_seen) in enumerate(steps):
        _publish(PublishedFolder(tmp_path), sales=sales, others=others, settled=settled, minutes=minute)
        assert figures.are_seen() is is_seen
