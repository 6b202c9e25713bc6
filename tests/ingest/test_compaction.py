"""Compaction of the Delta table: fewer files, the same rows, nobody disturbed, new rows never beside old ones."""

import os
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import time
from uuid import UUID

import polars as pl
import pytest
from deltalake import DeltaTable, Schema
from pydantic import SecretStr

from bus.records import Message, Partition
from contracts.settings import WarehouseSettings
from ingest.decoding import decode
from ingest.sinks import compaction, open_sink
from ingest.sinks.compaction import KEEP_HOURS, SETTLED_AFTER, list_files, merge_files, plan_merges, swap_files
from ingest.sinks.delta import DeltaSink
from ingest.sinks.delta_files import ARROW_SCHEMA
from ingest.sinks.interface import OffsetRange
from orchestration.build.raw_delta import _list_files
from tests.eventually import eventually
from tests.ingest.test_decoding import encode
from tests.ingest.writers import running

EPOCH = UUID("01900000-0000-7000-8000-00000000000e")
PLACE, OTHER = Partition("sluice.deals", 1), Partition("sluice.deals", 2)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "events"


@pytest.fixture
def sink(tmp_path: Path) -> DeltaSink:
    opened = open_sink(WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{tmp_path}")))
    assert isinstance(opened, DeltaSink)
    return opened


def _append(sink: DeltaSink, offset: int, *, loaded_at: datetime, place: Partition = PLACE, rows: int = 3) -> None:
    messages = [Message(*place, offset + n, b"key", encode(aggregate_version=offset + n + 1)) for n in range(rows)]
    frame = decode(messages, epoch=str(EPOCH), loaded_at=loaded_at).rows
    sink.append(frame, epoch=EPOCH, ranges={place: OffsetRange(offset, offset + rows)})


def _rows(folder: Path) -> pl.DataFrame:
    rows = pl.DataFrame(DeltaTable(str(folder)).to_pyarrow_table())
    return rows.sort("topic", "partition", "offset")


def _fill(sink: DeltaSink, *, old: int = 12, young: int = 3) -> None:
    for n in range(old):
        _append(sink, 3 * n, loaded_at=NOW + timedelta(seconds=n))
    for n in range(old, old + young):
        _append(sink, 3 * n, loaded_at=NOW + timedelta(hours=1, seconds=n))


def test_settled_files_become_one_and_every_row_stays(sink: DeltaSink, folder: Path) -> None:
    _fill(sink)
    before = _rows(folder)
    assert sink.has_small_files()
    compaction = sink.compact()
    assert not sink.has_small_files()
    assert (compaction.files_before, compaction.files_after) == (15, 4)
    assert compaction.bytes_after < compaction.bytes_before
    assert _rows(folder).equals(before)
    assert sink.offsets(EPOCH) == {PLACE: 45}
    _append(sink, 45, loaded_at=NOW + timedelta(hours=2))
    assert _rows(folder).height == before.height + 3
    again = sink.compact()
    assert again.files_after == again.files_before


def test_the_log_forgets_what_nobody_reads_any_more(
    folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_before = {"delta.checkpointInterval": "50", "delta.logRetentionDuration": "interval 1 days"}
    DeltaTable.create(str(folder), schema=Schema.from_arrow(ARROW_SCHEMA), configuration=as_before)
    sink: DeltaSink = request.getfixturevalue("sink")
    long_ago = time() - 3600 * (KEEP_HOURS + 1)
    monkeypatch.setattr(compaction, "_milliseconds", lambda: int(1000 * long_ago))
    _fill(sink)
    sink.compact()
    log = folder / "_delta_log"
    for offset in range(45, 145):
        if offset % 50 == 0:
            for entry in log.iterdir():
                os.utime(entry, (long_ago, long_ago))
        _append(sink, offset, loaded_at=NOW + timedelta(hours=1), rows=1)
    newest = max(log.glob("*.checkpoint.parquet"))
    assert pl.read_parquet(newest)["remove"].struct.field("path").drop_nulls().is_empty()
    assert not (log / f"{1:020d}.json").exists()
    assert len(list(log.glob("*.json"))) < 70
    assert _rows(folder).height == 145
    assert sink.offsets(EPOCH) == {PLACE: 145}


def test_a_refresh_reads_no_old_row_again(sink: DeltaSink, folder: Path) -> None:
    _fill(sink)
    since = NOW + timedelta(minutes=55)

    def to_read() -> set[str]:
        files = pl.DataFrame(_list_files(str(folder)))
        return set(files.filter(pl.col("newest_loaded_at").is_null() | (pl.col("newest_loaded_at") >= since))["path"])

    before = to_read()
    assert len(before) == 3
    sink.compact()
    assert to_read() == before
    project = Path(__file__).parents[2] / "dbt_project" / "dbt_project.yml"
    found = re.search(r"reread_minutes: (\d+)", project.read_text())
    assert found is not None
    assert timedelta(minutes=int(found[1])) < SETTLED_AFTER


def test_loaders_go_on_while_files_are_merged(sink: DeltaSink, folder: Path) -> None:
    _fill(sink, old=20, young=1)
    appended = Event()

    def load(stop: Event) -> None:
        with closing(DeltaSink(folder)) as loader:
            offset = 0
            while not stop.is_set():
                _append(loader, offset, loaded_at=NOW + timedelta(hours=1), place=OTHER)
                offset += 3
                appended.set()

    with running(load):
        eventually(appended.is_set, what="a loader is at work")
        compaction = sink.compact()
    assert compaction.files_after < compaction.files_before
    rows = _rows(folder)
    assert rows.filter(partition=1).height == 63
    assert rows.filter(partition=2)["offset"].to_list() == list(range(sink.offsets(EPOCH)[OTHER]))


def test_w3_a_rebuild_in_between_wins(sink: DeltaSink, folder: Path) -> None:
    _fill(sink)
    stale = DeltaTable(str(folder))
    (group,) = plan_merges(list_files(stale))
    merged = merge_files(folder, group)
    rebuilt = _rows(folder).head(5)
    with closing(DeltaSink(folder)) as other:
        block = rebuilt.write_csv(include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ").encode()
        other.replace(iter([block]), epoch=EPOCH, offsets={PLACE: 45})
    assert swap_files(stale, merged, group) is False
    assert _rows(folder).height == 5


def test_replaced_files_stay_for_readers_that_opened_them(sink: DeltaSink, folder: Path) -> None:
    _fill(sink)
    reader = DeltaTable(str(folder))
    files = [Path(uri.removeprefix("file://")) for uri in reader.file_uris()]
    assert sink.compact().deleted == 0
    assert all(file.exists() for file in files)
    assert pl.DataFrame(reader.to_pyarrow_table()).height == 45
