"""How values of ours are written for PostgreSQL: as text whose type it infers from the statement.

Drivers name a type with each value, another one for a null or a small number; a prepared statement would then have to
be prepared again for each combination.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json


class JsonList(list[Any]):
    """A list that is one JSON document, not an array of PostgreSQL's."""


def encoded(value: object) -> bytes | None:
    """A value as PostgreSQL reads it; None is null."""
    if value is None:
        return None
    kind = type(value)
    write = _WRITERS.get(kind)
    if write is None:
        write = _WRITERS[kind] = _writer_of(kind)
    return write(value)


def _text(value: object) -> bytes:
    return str(value).encode()


def _array(values: Iterable[object]) -> bytes:
    return f"{{{','.join(map(_element, values))}}}".encode()


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _bytes(value: bytes) -> bytes:
    return b"\\x" + value.hex().encode()


#: Writers by type. What belongs to none of the types is an error, not a guess.
_WRITERS: dict[type, Callable[[Any], bytes]] = {
    str: str.encode,
    UUID: _text,
    int: _text,
    float: _text,
    date: _text,
    datetime: _text,
    bool: lambda value: b"t" if value else b"f",
    bytes: _bytes,
    dict: to_json,
    JsonList: to_json,
    BaseModel: to_json,
    list: _array,
    tuple: _array,
    set: _array,
    frozenset: _array,
}


def _writer_of(kind: type) -> Callable[[Any], bytes]:
    for base in kind.__mro__:
        if base in _WRITERS:
            return _WRITERS[base]
    raise TypeError(f"PostgreSQL is not told how to read {kind.__name__}")
