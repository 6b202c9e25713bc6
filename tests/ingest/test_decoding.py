"""What becomes a row of raw, what becomes a dead letter."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bus.records import Message
from ingest.decoding import decode
from ingest.sinks.interface import FRAME_SCHEMA

EPOCH = "01900000-0000-7000-8000-00000000000e"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENVELOPE: dict[str, Any] = {
    "id": "01900000-0000-7000-8000-000000000001",
    "type": "deal.amount.changed",
    "version": 1,
    "organization_id": "01900000-0000-7000-8000-000000000002",
    "aggregate_type": "deal",
    "aggregate_id": "01900000-0000-7000-8000-000000000003",
    "aggregate_version": 7,
    "occurred_at": "2026-02-28T23:59:59.999999+00:00",
    "recorded_at": "2026-03-01T05:29:59+05:30",
    "actor": "user",
    "actor_id": None,
    "causation_id": None,
    "correlation_id": "01900000-0000-7000-8000-000000000004",
    "depth": 0,
    "data": {"amount_minor": 5, "currency": "EUR"},
}


def _message(value: bytes | None, *, epoch: str = EPOCH, offset: int = 0) -> Message:
    return Message("sluice.deals", 1, offset, b"key", value, [("epoch", epoch.encode())])


def encode(**changes: object) -> bytes:
    return json.dumps({**ENVELOPE, **changes}, separators=(",", ":")).encode()


def test_an_event_becomes_a_row_with_both_clocks_in_utc() -> None:
    decoded = decode([_message(encode(), offset=41)], epoch=EPOCH, loaded_at=NOW)
    (row,) = decoded.rows.to_dicts()
    assert decoded.rows.schema == FRAME_SCHEMA
    assert row["event_id"] == ENVELOPE["id"]
    assert row["occurred_at"] == datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    assert row["recorded_at"] == datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert (row["topic"], row["partition"], row["offset"], row["loaded_at"]) == ("sluice.deals", 1, 41, NOW)


@pytest.mark.parametrize(
    "data", ['{"b": 1.10, "a": "\\u00fc,\\"data\\":{}"}', '{"data":{"x":1},"data2":[1e3]}', "{}", '{"a": 1.0}']
)
def test_w5_data_keeps_its_meaning_and_as_published_its_very_text(data: str) -> None:
    head = encode()[: encode().index(b',"data":')]
    message = _message(head + b',"data":' + data.encode() + b"}")
    text = decode([message], epoch=EPOCH, loaded_at=NOW).rows["data"][0]
    assert json.loads(text) == json.loads(data)
    if '"data":' not in data:
        assert text == data


def test_w5_an_unknown_type_is_loaded_for_later_readers() -> None:
    message = _message(encode(type="deal.teleported", version=9))
    decoded = decode([message], epoch=EPOCH, loaded_at=NOW)
    assert decoded.rows["type"].to_list() == ["deal.teleported"]
    assert decoded.rejected == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "EOF"),
        (encode(actor="us\xe9r").decode("unicode_escape").encode("latin-1"), ""),
        (b"[" * 9_000, "recursion"),
        (encode()[:-1] + b',"data":[1]}', "not an event"),
        (encode()[:-2] + b',"more":01}}', ""),
        (b'{"data": NaN}', ""),
        (b"[1]", "not an event"),
        (encode(data=[1]), "not an event"),
        (encode(id="DROP TABLE"), "id: "),
        (encode(actor_id="someone"), "actor_id: "),
        (encode(organization_id=None), "organization_id: "),
        (encode(aggregate_version="many"), "aggregate_version: "),
        (encode(occurred_at="yesterday"), "occurred_at: "),
        (encode(data={"note": "\x00"}), "NUL"),
    ],
)
def test_o5_what_is_no_event_is_named_and_harms_nobody(value: bytes | None, reason: str) -> None:
    good = _message(encode(), offset=1)
    decoded = decode([_message(value), good], epoch=EPOCH, loaded_at=NOW)
    assert decoded.rows["offset"].to_list() == [1]
    ((message, said),) = decoded.rejected
    assert message.value == value
    assert reason in said


def test_w4_records_of_another_epoch_are_not_loaded() -> None:
    messages = [_message(encode(), epoch="01900000-0000-7000-8000-0000000000ff"), _message(encode(), offset=1)]
    decoded = decode(messages, epoch=EPOCH, loaded_at=NOW)
    assert decoded.foreign == 1
    assert decoded.rows["offset"].to_list() == [1]
