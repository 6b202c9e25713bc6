"""Builds whose marts and journals are written by hand, as dbt's macros write them: what publishing needs, in moments.

Every mart has the same rows: a key and a number. `python -m tests.orchestration.journaled_build URL` changes and
publishes such a DuckDB build until it is killed.
"""

import itertools
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb
import psycopg

from contracts.warehouse import BUILD_SCHEMA, PUBLISHED_SCHEMA, Mart, Part, Speed
from metrics.publication import PublishedFolder, is_duckdb, warehouse_folder
from orchestration.build.database import build_path
from orchestration.publish import Publication, publish

Rows = dict[str, set[tuple[int, int | None]]]

_JOURNALS = "staging.journals (mart text not null, row_key text not null, complete_after text)"


class JournaledBuild:
    """The build of the warehouse at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._schema = "main" if is_duckdb(url) else BUILD_SCHEMA

    def make_anew(self, keys: range) -> None:
        """As a full refresh does: all marts with number 0 at every key, and empty journals."""
        with self._open() as run:
            for schema in ("staging", self._schema):
                run(f"create schema if not exists {schema}")
            run(f"create table if not exists {_JOURNALS}")
            run("delete from staging.journals")
            for mart in Mart:
                table = f"{self._schema}.{mart.value}"
                run(f"drop table if exists {table}")
                run(
                    f"create table {table} as select cast(k as bigint) as key, cast(0 as bigint) as number, "
                    "timestamp with time zone '2026-03-01 00:00:00+00' as through, cast(7 as bigint) as event_count "
                    f"from generate_series({keys.start}, {keys.stop - 1}) as s (k)"
                )
                if mart.speed is Speed.LIVE:
                    run(f"drop table if exists staging.changes_{mart.value}")
                    run(
                        f"create table staging.changes_{mart.value} as select 1 as change_weight, "
                        f"cast(null as text) as change_version, t.* from {table} as t where false"
                    )
                run(f"insert into staging.journals (mart, row_key) values ('{mart.value}', 'key')")

    def set(self, keys: range, number: int | None) -> None:
        """Give all marts' rows of some keys a number; new keys become new rows."""
        self.delete(keys)
        with self._open() as run:
            value = "null" if number is None else str(number)
            for mart in Mart:
                self._write(
                    run,
                    mart,
                    f"select k, cast({value} as bigint), timestamp with time zone '2026-03-01 00:00:00+00', 7 "
                    f"from generate_series({keys.start}, {keys.stop - 1}) as s (k)",
                )

    def delete(self, keys: range) -> None:
        """Take the rows of some keys away."""
        with self._open() as run:
            for mart in Mart:
                condition = f"key >= {keys.start} and key < {keys.stop}"
                columns = "key, number, through, event_count"
                self._note(run, mart, -1, f"select {columns} from {self._schema}.{mart.value} where {condition}")
                run(f"delete from {self._schema}.{mart.value} where {condition}")

    def tamper(self, mart: Mart, statement: str) -> None:
        """Change a mart behind the journal's back; `{}` is its table."""
        with self._open() as run:
            run(statement.format(f"{self._schema}.{mart.value}"))

    def publish(self, *, now: datetime | None = None, keep: int = 3, unsound: Collection[Part] = ()) -> Publication:
        """Publish it."""
        return publish(self.url, manifest_hash="m", now=now or datetime.now(UTC), keep=keep, unsound=unsound)

    def rows(self) -> Rows:
        """Keys and numbers of the build."""
        with self._open() as run:
            return {mart.value: set(run(f"select key, number from {self._schema}.{mart.value}")) for mart in Mart}

    def published_rows(self) -> Rows:
        """Keys and numbers of what readers see; each row is there once."""
        if not is_duckdb(self.url):
            with psycopg.connect(self.url) as postgres:
                found = {m.value: _fetch(postgres, f"{PUBLISHED_SCHEMA}.{m.value}") for m in Mart}
        else:
            folder = PublishedFolder(warehouse_folder(self.url))
            current = folder.current()
            assert current is not None
            with duckdb.connect(str(folder.path_of(current)), read_only=True) as file:
                found = {m.value: _fetch(file, m.value) for m in Mart}
        for rows in found.values():
            assert len(rows) == len(set(rows))
        return {name: set(rows) for name, rows in found.items()}

    def _write(self, run: Any, mart: Mart, query: str) -> None:  # a statement's runner
        columns = "key, number, through, event_count"
        run(f"insert into {self._schema}.{mart.value} ({columns}) {query}")
        self._note(run, mart, 1, query)

    def _note(self, run: Any, mart: Mart, weight: int, query: str) -> None:  # a statement's runner
        """Into a live mart's journal; a settled one was made anew."""
        if mart.speed is Speed.LIVE:
            run(
                f"insert into staging.changes_{mart.value} (change_weight, key, number, through, event_count) "
                f"select {weight}, rows.* from ({query}) as rows"
            )
        else:
            run(f"update staging.journals set complete_after = null where mart = '{mart.value}'")

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Runs statements in one transaction."""
        if is_duckdb(self.url):
            build_path(self.url).parent.mkdir(parents=True, exist_ok=True)
            with duckdb.connect(str(build_path(self.url))) as file:
                file.execute("begin")
                yield lambda statement: file.execute(statement).fetchall()
                file.execute("commit")
        else:
            with psycopg.connect(self.url) as postgres:
                yield lambda statement: _answer(postgres.execute(statement))


def _answer(cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    return cursor.fetchall() if cursor.description else []


def _fetch(connection: Any, table: str) -> list[tuple[Any, ...]]:  # two drivers
    rows: list[tuple[Any, ...]] = connection.execute(f"select key, number from {table}").fetchall()
    return rows


def publish_on(url: str) -> None:
    """Change and publish a build for ever, each version with another number at some keys."""
    build = JournaledBuild(url)
    for number in itertools.count(1):
        build.set(range(number % 50 * 10, number % 50 * 10 + 30), number)
        print(build.publish().version, flush=True)


if __name__ == "__main__":
    publish_on(sys.argv[1])
