"""Reads the built marts of either engine as plain rows that compare equal."""

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import duckdb
import psycopg

from contracts.settings import WarehouseSettings
from contracts.warehouse import BUILD_SCHEMA, PUBLISHED_SCHEMA, Mart
from metrics.compile import Compiled
from metrics.dialect import DUCKDB
from metrics.reader import open_reader

Row = dict[str, Any]


def query(warehouse: WarehouseSettings, statement: str) -> list[Row]:
    """Run a statement against the build (marts by their bare names) and answer its rows."""
    url = warehouse.warehouse_url.get_secret_value()
    if url.startswith("duckdb"):
        with duckdb.connect(f"{urlsplit(url).path}/.build/warehouse.duckdb") as connection:
            answer = connection.execute(statement)
            names = [column[0] for column in answer.description]
            return [_row(names, values) for values in answer.fetchall()]
    with psycopg.connect(url, options=f"-c search_path={BUILD_SCHEMA}") as connection:
        result = connection.execute(statement)
        return [_row([column.name for column in result.description or []], values) for values in result]


def all_marts(warehouse: WarehouseSettings) -> dict[str, list[Row]]:
    """Every mart's rows, in an order of their own."""
    return {mart.value: ordered(query(warehouse, f"select * from {mart.value}")) for mart in Mart}


def published_marts(warehouse: WarehouseSettings) -> dict[str, list[Row]]:
    """Every mart's rows as readers see them, in the same order."""
    with closing(open_reader(warehouse.warehouse_url.get_secret_value())) as reader, reader.session() as session:
        schema = "main" if session.dialect is DUCKDB else PUBLISHED_SCHEMA

        def rows(mart: Mart) -> list[Row]:
            columns = (
                "select column_name from information_schema.columns "
                f"where table_schema = '{schema}' and table_name = '{mart.value}' order by ordinal_position"
            )
            names = [name for (name,) in session.fetch(Compiled(columns, {}))]
            select = Compiled(f"select {', '.join(names)} from {schema}.{mart.value}", {})
            return ordered(_row(names, values) for values in session.fetch(select))

        return {mart.value: rows(mart) for mart in Mart}


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Rows in an order that depends on nothing but themselves."""
    return sorted(rows, key=lambda row: [(value is not None, str(value)) for _, value in sorted(row.items())])


def known_at(rows: Iterable[Row], instant: datetime) -> list[Row]:
    """What was known at an instant, without the interval of knowledge."""
    return ordered(
        {name: value for name, value in row.items() if name not in ("known_from", "known_to")}
        for row in rows
        if row["known_from"] <= instant and (row["known_to"] is None or row["known_to"] > instant)
    )


def _row(names: list[str], values: tuple[Any, ...]) -> Row:
    return {name: _plain(value) for name, value in zip(names, values, strict=True)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, list):
        return tuple(_plain(one) for one in value)
    if value is None or isinstance(value, bool | int | str | date | UUID | Decimal):
        return value
    raise TypeError(f"{type(value)} is no type of a mart: {value!r}")
