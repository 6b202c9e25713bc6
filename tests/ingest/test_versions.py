"""Several versions of an event side by side: all of them in raw, all of them readable, nothing of them lost."""

import json
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import duckdb
import psycopg
import pytest
from deltalake import DeltaTable
from pydantic import SecretStr

from bus.records import Message, Partition
from contracts.events.deals import DealEvent
from contracts.events.envelope import Event
from contracts.events.registry import EVENTS, UnreadableEventError, parse
from contracts.settings import WarehouseSettings
from ingest.decoding import decode
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetRange
from tests.conftest import Database
from tests.ingest.test_decoding import encode

EPOCH = UUID("01900000-0000-7000-8000-00000000000e")
PLACE = Partition("sluice.deals", 0)


TYPE = "deal.weight.measured"

#: (version, data as published); the last one is of a version that this program does not know yet.
SENT: list[tuple[int, dict[str, Any]]] = [
    (1, {"weight": 2, "measure": "kg"}),
    (2, {"weight": 3, "measure": "kg", "scale": "A"}),
    (3, {"weight": 1.25, "unit": "t", "scale": None}),
    (1, {"weight": 4, "measure": "kg"}),  # an old writer is still there
    (3, {"weight": 5.5, "unit": "parsec", "scale": "B"}),  # a value that nobody has heard of
    (4, {"weight": 6, "unit": "kg", "scale": "C", "humidity": {"percent": 40.5}}),
]

#: How staging reads them: the newest name first, older ones behind it, the widest type.
FACTS = """
select version, cast({weight} as decimal(12, 2)), coalesce({unit}, {measure}), {scale}
from {raw} order by "offset"
"""
EXPECTED = [
    (1, Decimal("2.00"), "kg", None),
    (2, Decimal("3.00"), "kg", "A"),
    (3, Decimal("1.25"), "t", None),
    (1, Decimal("4.00"), "kg", None),
    (3, Decimal("5.50"), "parsec", "B"),
    (4, Decimal("6.00"), "kg", "C"),
]


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> type[Event]:
    """Three versions of an event, known while a test runs; the third."""

    class First(DealEvent):
        type: ClassVar[str] = TYPE
        weight: int
        measure: str

    class Second(DealEvent):
        type: ClassVar[str] = TYPE
        version: ClassVar[int] = 2
        weight: int
        measure: str
        scale: str | None

        @classmethod
        def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "scale": None}  # added in version 2

    class Third(DealEvent):
        """The weight may have a fraction, and the unit is called so."""

        type: ClassVar[str] = TYPE
        version: ClassVar[int] = 3
        weight: Decimal
        unit: str
        scale: str | None

        @classmethod
        def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
            unit = data.pop("measure")  # renamed in version 3
            return {**data, "unit": unit, "weight": str(data["weight"])}

    for event in (First, Second, Third):
        monkeypatch.setitem(EVENTS, (TYPE, event.version), EVENTS.pop((TYPE, event.version)))  # forgotten afterwards
    return Third


def _load(url: str) -> None:
    messages = [
        Message(*PLACE, offset, b"key", encode(type=TYPE, version=version, data=data))
        for offset, (version, data) in enumerate(SENT)
    ]
    decoded = decode(messages, epoch=str(EPOCH), loaded_at=datetime.now(UTC))
    assert decoded.rejected == []
    with closing(open_sink(WarehouseSettings(warehouse_url=SecretStr(url)))) as sink:
        sink.append(decoded.rows, epoch=EPOCH, ranges={PLACE: OffsetRange(0, len(SENT))})


def _on_duckdb(folder: Path) -> tuple[list[Any], list[Any]]:
    files = DeltaTable(str(folder)).file_uris()
    fields = {name: f"json_extract_string(data, '$.{name}')" for name in ("weight", "unit", "measure", "scale")}
    with duckdb.connect() as connection:
        connection.read_parquet(files).create_view("raw")
        facts = connection.execute(FACTS.format(raw="raw", **fields)).fetchall()
        return facts, connection.execute('select data from raw order by "offset"').fetchall()


def _on_postgres(url: str) -> tuple[list[Any], list[Any]]:
    fields = {name: f"(data ->> '{name}')" for name in ("weight", "unit", "measure", "scale")}
    with psycopg.connect(url) as connection:
        facts = connection.execute(FACTS.format(raw="raw.events", **fields)).fetchall()
        return facts, connection.execute('select data::text from raw.events order by "offset"').fetchall()


@pytest.mark.parametrize("warehouse", ["delta", "postgres"])
def test_w5_old_and_new_versions_are_queryable_and_complete(warehouse: str, database: Database, tmp_path: Path) -> None:
    url = f"duckdb://{tmp_path}" if warehouse == "delta" else database.admin_url
    _load(url)
    facts, texts = _on_duckdb(tmp_path / "raw" / "events") if warehouse == "delta" else _on_postgres(url)
    assert facts == EXPECTED
    assert [json.loads(text) for (text,) in texts] == [data for _, data in SENT]


def test_w5_every_known_version_is_parsed_as_the_newest(newest: type[Event]) -> None:
    parsed = [
        parse(json.loads(encode(type=TYPE, version=version, data=data)))
        for version, data in SENT
        if version <= newest.version
    ]
    assert {type(envelope.data) for envelope in parsed} == {newest}
    found = [tuple(envelope.data.model_dump().values()) for envelope in parsed]
    assert found == [facts[1:] for facts in EXPECTED[:-1]]


@pytest.mark.usefixtures("newest")
def test_w5_a_version_from_the_future_is_named_not_guessed() -> None:
    version, data = SENT[-1]
    with pytest.raises(UnreadableEventError, match=r"unknown event type 'deal.weight.measured' version 4"):
        parse(json.loads(encode(type=TYPE, version=version, data=data)))
