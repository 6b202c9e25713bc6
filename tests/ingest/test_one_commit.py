"""Rows and the offsets behind them become visible at the same instant, in both warehouses."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from pydantic import SecretStr

from bus.records import Message, Partition
from contracts.events.deals import DealEvent
from contracts.settings import WarehouseSettings
from contracts.warehouse import RAW_EVENTS
from ingest.decoding import decode
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetRange
from tests.conftest import Database
from tests.ingest.writers import ORGANIZATION, new_id

_EPOCH = UUID("01900000-0000-7000-8000-0000000000ee")
_BATCHES = ((0, 3), (3, 4), (4, 9))


def _message(offset: int) -> Message:
    envelope = {
        "id": str(new_id()),
        "type": "deal.deleted",
        "version": 1,
        "organization_id": str(ORGANIZATION),
        "aggregate_type": "deal",
        "aggregate_id": str(new_id()),
        "aggregate_version": 1,
        "occurred_at": "2026-05-01T09:30:00+00:00",
        "recorded_at": "2026-05-01T09:30:00+00:00",
        "actor": "user",
        "actor_id": None,
        "causation_id": None,
        "correlation_id": str(new_id()),
        "depth": 0,
        "data": {},
    }
    return Message(DealEvent.topic, 2, offset, b"key", json.dumps(envelope).encode())


def _load(settings: WarehouseSettings) -> None:
    with closing(open_sink(settings)) as sink:
        for start, end in _BATCHES:
            messages = [_message(offset) for offset in range(start, end)]
            decoded = decode(messages, epoch=str(_EPOCH), loaded_at=datetime.now(UTC))
            assert len(decoded.rows) == end - start
            sink.append(decoded.rows, epoch=_EPOCH, ranges={Partition(DealEvent.topic, 2): OffsetRange(start, end)})


def _delta_commits(folder: Path) -> Iterator[list[dict[str, Any]]]:
    for path in sorted((folder / "raw" / RAW_EVENTS / "_delta_log").glob("*.json")):
        yield [json.loads(line) for line in path.read_text().splitlines()]


def test_w1_every_delta_commit_that_adds_rows_moves_the_offsets(tmp_path: Path) -> None:
    _load(WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{tmp_path}")))
    through = []
    for actions in _delta_commits(tmp_path):
        offsets = [action["txn"]["version"] for action in actions if "txn" in action]
        assert any("add" in action for action in actions) == bool(offsets)
        through += offsets
    assert through == [end for _, end in _BATCHES]


def test_w1_no_transaction_of_a_postgres_warehouse_adds_rows_without_their_offsets(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("create schema raw")
        # every row that is added asks, at the commit, whether its offset is behind it
        admin.execute(
            "create function raw.check_offset() returns trigger language plpgsql as $$ begin"
            " if not exists (select from raw.loader_offsets o where o.epoch = new.epoch and o.topic = new.topic"
            ' and o.partition = new.partition and o.next_offset > new."offset")'
            " then raise 'a row before its offset'; end if; return null; end $$"
        )
        settings = WarehouseSettings(warehouse_url=SecretStr(database.admin_url))
        open_sink(settings).close()
        admin.execute(
            "create constraint trigger offset_is_moved after insert on raw.events deferrable initially deferred"
            " for each row execute function raw.check_offset()"
        )
        _load(settings)
        rows = admin.execute("select count(*) from raw.events").fetchone()
    assert rows == (9,)
