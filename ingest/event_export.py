"""Rows of the event log as rows of raw, by COPY: text in, text out, many rows at a time and never one by one.

Rows that come from PostgreSQL instead of Kafka say so: their epoch is NO_EPOCH, their partition -1, and their offset is
the position in the event log. So what a rebuild writes depends on the events alone, not on how they once travelled.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from contracts.topics import TOPIC_OF_AGGREGATE
from contracts.warehouse import RAW_EVENT_COLUMNS

#: Epoch of rows that were taken from PostgreSQL.
NO_EPOCH = UUID(int=0)

_ROWS_PER_BLOCK = 10_000
_TOPIC = "case e.aggregate_type {} else e.aggregate_type end".format(
    " ".join(f"when '{kind}' then '{topic}'" for kind, topic in TOPIC_OF_AGGREGATE.items())
)
_LOG_COLUMNS = ", ".join(f"e.{name}" for name in list(RAW_EVENT_COLUMNS)[:15])
_COPY = (
    f"copy (select {_LOG_COLUMNS}, '{NO_EPOCH}', {_TOPIC}, -1, e.position, %(loaded_at)s::timestamptz"
    " from event_log e where {}) to stdout (format csv)"
)


class Block(NamedTuple):
    """Some rows as CSV, in the order of RAW_EVENT_COLUMNS; an empty field is null, an empty text is quoted."""

    content: bytes
    rows: int


def export_events(
    connection: psycopg.Connection, condition: str, parameters: Mapping[str, Any], *, loaded_at: datetime
) -> Iterator[Block]:
    """The events `e` of the log for which `condition` holds. The connection's time zone must be UTC.

    Raises:
        psycopg.Error: the event log cannot be read.
    """
    with connection.cursor() as cursor:
        statement = _COPY.format(condition)
        with cursor.copy(statement, {**parameters, "loaded_at": loaded_at}) as copy:
            rows = iter(copy)
            while block := list(islice(rows, _ROWS_PER_BLOCK)):
                yield Block(b"".join(block), len(block))
