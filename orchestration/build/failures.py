"""What breaks a test, in words: dbt says how many rows its query answers, here is asked which.

A test's query is run once more, for its first rows. `sound_rows` names column, count and the keys of two rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import psycopg

from orchestration.build.database import open_build
from orchestration.build.dbt import NodeResult

_SHOWN_ROWS = 3
_PROBLEM = ("problem", "row_count", "sample")


def say_what_failed(warehouse_url: str, nodes: Iterable[NodeResult]) -> list[NodeResult]:
    """The same results, those of failed tests with a message that says what is wrong with which rows."""
    return [
        replace(node, message=_describe(warehouse_url, node))
        if node.resource_type == "test" and node.failures
        else node
        for node in nodes
    ]


def _describe(warehouse_url: str, node: NodeResult) -> str:
    try:
        columns, rows = _first_rows(warehouse_url, node.sql)
    except (duckdb.Error, psycopg.Error) as error:  # what dbt said is better than nothing
        return f"{node.message} (its rows cannot be shown: {error})"
    shown = "; ".join(_in_words(columns, row) for row in rows[:_SHOWN_ROWS])
    more = len(rows) > _SHOWN_ROWS
    return f"{shown}; and more" if more else shown


def _first_rows(warehouse_url: str, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    with open_build(warehouse_url) as build:
        answer = build.execute(f"select * from (\n{sql}\n) as failing limit {_SHOWN_ROWS + 1}")
        return [column[0] for column in answer.description], answer.fetchall()


def _in_words(columns: Sequence[str], row: Sequence[Any]) -> str:
    if tuple(columns) == _PROBLEM:
        problem, count, sample = row
        return f"{problem} in {count:,} row{'s' if count != 1 else ''}, such as {sample}"
    return ", ".join(f"{column} {value}" for column, value in zip(columns, row, strict=True))
