"""An answer's rows as an Arrow stream: columns with types for programs that compute on, without a text between.

What stands around the rows in JSON (parameters, definition, notes, totals, …) is the schema's metadata, as JSON under
`sluice`. A column without any value has type null; counts by id (`lost_reasons`) are a map; a sum beyond 64 bits makes
its column a decimal.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from api.metrics.schemas import MetricAnswer

MEDIA_TYPE = "application/vnd.apache.arrow.stream"

_MOST = 2**63


def is_wanted(accept: str) -> bool:
    """Whether an `Accept` header names the format."""
    return any(one.partition(";")[0].strip().lower() == MEDIA_TYPE for one in accept.split(","))


def stream(answer: MetricAnswer, *, left_out: Iterable[str]) -> bytes:
    """The answer as one stream of record batches."""
    about = answer.model_dump_json(exclude={"rows", *left_out})
    names = list(dict.fromkeys(name for row in answer.rows for name in row))
    columns = [_column([row.get(name) for row in answer.rows]) for name in names]
    table = pa.table(columns, names=names).replace_schema_metadata({"sluice": about})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _column(values: list[Any]) -> pa.Array:
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, Mapping) for value in given):
        counts = [None if value is None else list(value.items()) for value in values]
        return pa.array(counts, pa.map_(pa.string(), _number(part for value in given for part in value.values())))
    if given and all(isinstance(value, int) and not isinstance(value, bool) for value in given):
        kind = _number(given)
        return pa.array(values if kind == pa.int64() else [None if v is None else Decimal(v) for v in values], kind)
    if given and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        return pa.array(values, pa.float64())
    return pa.array(values)


def _number(values: Iterable[int]) -> pa.DataType:
    return pa.int64() if all(-_MOST <= value < _MOST for value in values) else pa.decimal128(38, 0)
