"""How values of ours are written for PostgreSQL: as text whose type it infers from the statement.

psycopg would name a type with each value, another one for a null or a small number; a prepared statement would then be
prepared again for each combination.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from pydantic import BaseModel
from pydantic_core import to_json


class _Text(Dumper):
    def dump(self, obj: Any) -> Buffer | None:  # noqa: ANN401 # psycopg's signature
        return str(obj).encode()


class _Boolean(Dumper):
    def dump(self, obj: bool) -> Buffer | None:  # psycopg's signature
        return b"t" if obj else b"f"


class _Json(Dumper):
    def dump(self, obj: dict[str, Any] | BaseModel) -> Buffer | None:
        return to_json(obj)


class _Array(Dumper):
    def dump(self, obj: Sequence[object]) -> Buffer | None:
        return f"{{{','.join(map(_element, obj))}}}".encode()


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def adapters() -> AdaptersMap:
    """psycopg's adapters with ours."""
    ours = AdaptersMap(psycopg.adapters)
    for kind in (UUID, int, float, date, datetime):
        ours.register_dumper(kind, _Text)
    ours.register_dumper(bool, _Boolean)
    for document in (dict, BaseModel):
        ours.register_dumper(document, _Json)
    for sequence in (list, tuple, set, frozenset):
        ours.register_dumper(sequence, _Array)
    return ours
