"""Messages into rows of the raw relation, many at a time; what does not fit is named with a reason.

Only the envelope is checked here, column by column. An event of a type this program does not know is loaded all the
same: whoever reads raw later may know it, and nothing that was published may be missing there. `data` stays the very
text that was published.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from pydantic_core import from_json

from bus.records import Message
from contracts.events.registry import UnreadableEventError, parse
from ingest.epoch import EPOCH_HEADER
from ingest.sinks.interface import FRAME_SCHEMA

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S%.f%#z"
_DATA_MARK = b',"data":'
_NUL = b"\\u0000"  # PostgreSQL's jsonb refuses it, so both warehouses do

_ENVELOPE_KEYS = ("id", *list(FRAME_SCHEMA)[1:14])
_NULLABLE = ("actor_id", "causation_id")
_IDS = ("event_id", "organization_id", "aggregate_id", "correlation_id", *_NULLABLE)
_TIMESTAMPS = ("occurred_at", "recorded_at")


@dataclass
class Decoded:
    """What a batch of messages contains. `foreign` counts messages of another epoch, which are not for this one."""

    rows: pl.DataFrame
    rejected: list[tuple[Message, str]] = field(default_factory=list)
    foreign: int = 0


def decode(messages: Iterable[Message], *, epoch: str, loaded_at: datetime) -> Decoded:
    """Turn messages into rows of the raw relation."""
    rejected: list[tuple[Message, str]] = []
    good: list[Message] = []
    envelopes: list[dict[str, Any]] = []
    texts: list[str] = []
    foreign = 0
    for message in messages:
        if _epoch_of(message, epoch) != epoch:
            foreign += 1
            continue
        try:
            envelope, text = _split(message.value)
        except ValueError as error:
            rejected.append((message, str(error)))
            continue
        good.append(message)
        envelopes.append(envelope)
        texts.append(text)
    frame = _frame(good, envelopes, texts, epoch, loaded_at)
    fits = frame["fits"]
    if not fits.all():
        rejected += [(good[index], _reason(envelopes[index])) for index in (~fits).arg_true()]
        frame = frame.filter(fits)
    return Decoded(frame.select(list(FRAME_SCHEMA)), rejected, foreign)


def _epoch_of(message: Message, default: str) -> str:
    for name, content in message.headers:
        if name == EPOCH_HEADER:
            return content.decode(errors="replace")
    return default


def _split(value: bytes | None) -> tuple[dict[str, Any], str]:
    """An envelope, and its data as text; ValueError says what is wrong."""
    if value is None:
        raise ValueError("no value")
    content = from_json(value, allow_inf_nan=False)
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        raise ValueError("not an event: no object with an object `data`")
    if _NUL in value:
        raise ValueError("contains the character NUL")
    if next(reversed(content)) == "data" and value.count(_DATA_MARK) == 1 and value.endswith(b"}"):
        return content, value[value.index(_DATA_MARK) + len(_DATA_MARK) : -1].decode()
    return content, json.dumps(content["data"], ensure_ascii=False)


def _frame(
    messages: Sequence[Message], envelopes: Sequence[dict[str, Any]], texts: list[str], epoch: str, loaded_at: datetime
) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    for key, name in zip(_ENVELOPE_KEYS, list(FRAME_SCHEMA)[:14], strict=True):
        kind = FRAME_SCHEMA[name]
        values = [envelope.get(key) for envelope in envelopes]
        columns[name] = pl.Series(name, values, dtype=pl.String() if name in _TIMESTAMPS else kind, strict=False)
    columns["data"] = pl.Series("data", texts, dtype=pl.String())
    columns["topic"] = pl.Series("topic", [message.topic for message in messages], dtype=pl.String())
    columns["partition"] = pl.Series("partition", [message.partition for message in messages], dtype=pl.Int32())
    columns["offset"] = pl.Series("offset", [message.offset for message in messages], dtype=pl.Int64())
    frame = pl.DataFrame(columns).with_columns(
        *(
            pl.col(name).str.to_datetime(_TIMESTAMP, time_unit="us", time_zone="UTC", strict=False)
            for name in _TIMESTAMPS
        ),
        pl.lit(epoch).alias("epoch"),
        pl.lit(loaded_at, dtype=pl.Datetime("us", "UTC")).alias("loaded_at"),
    )
    complete = [pl.col(name).is_not_null() for name in FRAME_SCHEMA if name not in _NULLABLE]
    ids = [pl.col(name).str.contains(_UUID).fill_null(value=True) for name in _IDS]
    return frame.with_columns(pl.all_horizontal(*complete, *ids).alias("fits"))


def _reason(envelope: dict[str, Any]) -> str:
    try:
        parse(envelope)
    except UnreadableEventError as error:
        return str(error)
    return "a field of the envelope does not fit its column"
