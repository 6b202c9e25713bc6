"""Messages into rows of the raw relation, many at a time; what does not fit is named with a reason.

Only the envelope is checked here, column by column. An event of a type this program does not know is loaded all the
same: whoever reads raw later may know it, and nothing that was published may be missing there. `data` stays the very
text that was published.

Messages that are spelled as the relay spells them are taken apart by one pattern over the whole batch, outside Python;
every other one is parsed by itself and spelled so.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
from pydantic_core import from_json

from bus.records import Message
from contracts.events.registry import UnreadableEventError, parse
from ingest.epoch import EPOCH_HEADER
from ingest.sinks.interface import FRAME_SCHEMA

_HEX = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S%.f%#z"
_DATA_MARK = b',"data":'
_NUL = b"\\u0000"  # PostgreSQL's jsonb refuses it, so both warehouses do

_ENVELOPE_COLUMNS = tuple(FRAME_SCHEMA)[:14]
_ENVELOPE_KEYS = ("id", *_ENVELOPE_COLUMNS[1:])
_NULLABLE = ("actor_id", "causation_id")
_IDS = ("event_id", "organization_id", "aggregate_id", "correlation_id", *_NULLABLE)
_NUMBERS = ("version", "aggregate_version", "depth")
_TIMESTAMPS = ("occurred_at", "recorded_at")
_PLACE = ("topic", "partition", "offset")


def _canonical_value(name: str) -> str:
    """Pattern of an envelope's field as PostgreSQL spells it, with the value in a group of the column's name."""
    if name in _NULLABLE:
        return f'(?:"(?P<{name}>{_HEX})"|null)'
    if name in _NUMBERS:
        return f"(?P<{name}>0|[1-9][0-9]{{0,17}})"
    content = _HEX if name in _IDS else "[0-9TZ:.+-]+" if name in _TIMESTAMPS else r'[^"\\]+'
    return f'"(?P<{name}>{content})"'


#: An envelope up to its `data`, which comes last (see ingest/outbox.py).
_CANONICAL = (
    r"^\{"
    + ",".join(f'"{key}":{_canonical_value(name)}' for key, name in zip(_ENVELOPE_KEYS, _ENVELOPE_COLUMNS, strict=True))
    + "$"
)


@dataclass
class Decoded:
    """What a batch of messages contains. `foreign` counts messages of another epoch, which are not for this one."""

    rows: pl.DataFrame
    rejected: list[tuple[Message, str]] = field(default_factory=list)
    foreign: int = 0


def decode(messages: Iterable[Message], *, epoch: str, loaded_at: datetime) -> Decoded:
    """Turn messages into rows of the raw relation."""
    own, foreign = _of_epoch(messages, epoch)
    rows, others = _decode_canonical(own)
    decoded = Decoded(_stamp(rows, epoch, loaded_at), foreign=foreign)
    originals, spelled = [], []
    for message in (own[index] for index in others):
        try:
            spelled.append(_spell_canonically(message))
            originals.append(message)
        except ValueError as error:
            decoded.rejected.append((message, str(error)))
    if spelled:
        rows, unfit = _decode_canonical(spelled)
        decoded.rows = pl.concat([decoded.rows, _stamp(rows, epoch, loaded_at)])
        decoded.rejected += [(originals[index], _reason(originals[index])) for index in unfit]
    return decoded


def _of_epoch(messages: Iterable[Message], epoch: str) -> tuple[list[Message], int]:
    """Messages of this epoch, and how many are of another. Messages of a batch share one object of headers."""
    own: list[Message] = []
    foreign = 0
    verdicts: dict[int, bool] = {}
    for message in messages:
        headers = message.headers
        is_own = verdicts.get(id(headers))
        if is_own is None:
            is_own = verdicts[id(headers)] = _epoch_of(message, epoch) == epoch
        if is_own:
            own.append(message)
        else:
            foreign += 1
    return own, foreign


def _decode_canonical(messages: Sequence[Message]) -> tuple[pl.DataFrame, list[int]]:
    """Rows of the messages that the pattern fits, and the places of those it does not fit."""
    parts = _texts(messages).str.splitn(_DATA_MARK.decode(), 2)
    head, tail = parts.struct.field("field_0"), parts.struct.field("field_1")
    frame = pl.DataFrame(
        [*head.str.extract_groups(_CANONICAL).struct.unnest().get_columns(), tail.str.head(-1).alias("data")]
    ).with_columns(
        *(pl.col(name).cast(FRAME_SCHEMA[name], strict=False) for name in _NUMBERS),
        *(
            pl.col(name).str.to_datetime(_TIMESTAMP, time_unit="us", time_zone="UTC", strict=False)
            for name in _TIMESTAMPS
        ),
    )
    fits = frame.select(
        pl.all_horizontal(
            *(pl.col(name).is_not_null() for name in _ENVELOPE_COLUMNS if name not in _NULLABLE),
            pl.lit(tail).str.ends_with("}}"),
            pl.col("data").str.starts_with("{"),
            ~pl.col("data").str.contains(_NUL.decode(), literal=True),
        ).fill_null(value=False)
    ).to_series()
    if not fits.all() or not _are_json(frame["data"]):
        fits &= pl.Series([fit and _are_json(frame["data"][index : index + 1]) for index, fit in enumerate(fits)])
    places = [pl.Series(name, [getattr(m, name) for m in messages], dtype=FRAME_SCHEMA[name]) for name in _PLACE]
    return frame.with_columns(places).filter(fits), (~fits).arg_true().to_list()


def _texts(messages: Sequence[Message]) -> pl.Series:
    """Values as text; null where they are none."""
    values = pl.Series("value", [message.value for message in messages], dtype=pl.Binary())
    try:
        return values.cast(pl.String())
    except pl.exceptions.ComputeError:
        return pl.Series("value", [_text(message.value) for message in messages], dtype=pl.String())


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _are_json(texts: pl.Series) -> bool:
    """Whether all texts are JSON objects."""
    try:
        return len(texts.str.json_decode(pl.Struct({}))) == len(texts)
    except pl.exceptions.ComputeError:
        return False


def _stamp(frame: pl.DataFrame, epoch: str, loaded_at: datetime) -> pl.DataFrame:
    return frame.with_columns(
        pl.lit(epoch).alias("epoch"), pl.lit(loaded_at, dtype=pl.Datetime("us", "UTC")).alias("loaded_at")
    ).select(list(FRAME_SCHEMA))


def _epoch_of(message: Message, default: str) -> str:
    for name, content in message.headers:
        if name == EPOCH_HEADER:
            return content.decode(errors="replace")
    return default


def _spell_canonically(message: Message) -> Message:
    """The same event as the relay would spell it; ValueError says why it is none."""
    value = message.value
    if value is None:
        raise ValueError("no value")
    content = from_json(value, allow_inf_nan=False)
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        raise ValueError("not an event: no object with an object `data`")
    if _NUL in value:
        raise ValueError("contains the character NUL")
    data = json.dumps(content["data"], ensure_ascii=False)
    if next(reversed(content)) == "data" and value.count(_DATA_MARK) == 1 and value.endswith(b"}"):
        data = value[value.index(_DATA_MARK) + len(_DATA_MARK) : -1].decode().strip()
    fields = [(key, content.get(key)) for key in _ENVELOPE_KEYS]
    head = ",".join(
        f'"{key}":{field if name in _NUMBERS else json.dumps(field, ensure_ascii=False)}'
        for name, (key, field) in zip(_ENVELOPE_COLUMNS, fields, strict=True)
    )
    return message._replace(value=f'{{{head},"data":{data}}}'.encode())


def _reason(message: Message) -> str:
    try:
        parse(from_json(message.value or b""))
    except UnreadableEventError as error:
        return str(error)
    return "a field of the envelope does not fit its column"
