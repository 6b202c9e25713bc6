"""Publishing on a PostgreSQL warehouse: marts are copied beside schema `published`, then swapped in one transaction.

Copying takes as long as it takes and blocks nobody. The swap waits for readers, but never makes new readers wait long:
it gives up after `_LOCK_TIMEOUT` and tries again.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from contracts.warehouse import BUILD_SCHEMA, PUBLISHED_SCHEMA, Mart
from metrics.publication import (
    PublishedVersion,
    lock_for_swap,
    prepare_postgres,
    read_postgres_version,
    record_postgres_version,
    version_at,
)

_DRAFT_SCHEMA = "publishing"
_READER_ROLE = "sluice_reader"
_LOCK_TIMEOUT = "1s"
_SWAP_ATTEMPTS = 30
_KEPT_RECORDS = 1000


def publish_to_postgres(url: str, *, made_of: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Make schema `build` what readers see; answers the version's record, to which `made_of` goes too.

    Raises:
        psycopg.errors.UndefinedTable: the build lacks a mart.
        psycopg.errors.LockNotAvailable: readers held the old version through all attempts.
    """
    with psycopg.connect(url) as connection:
        prepare_postgres(connection)
        _prepare_records(connection)
        connection.commit()
        row_counts = _copy_marts(connection)
        connection.commit()
        through, event_count = _progress(connection)
        current = read_postgres_version(connection)
        connection.commit()
        version = _next_version(current, now)
        record = {
            "version": version.version,
            "through": through,
            "event_count": event_count,
            "row_counts": row_counts,
            **made_of,
        }
        _swap_patiently(connection, version=version, record=record)
        return record


def read_last_publication(url: str) -> dict[str, Any] | None:
    """The newest version's record; None before the first one."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        try:
            return connection.execute(
                "select version, through, event_count, row_counts, manifest_hash, code_version, raw_version "
                f"from {PUBLISHED_SCHEMA}.publications order by version desc limit 1"
            ).fetchone()
        except psycopg.errors.UndefinedTable:
            return None


def _prepare_records(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        f"create table if not exists {PUBLISHED_SCHEMA}.publications (version text primary key, through timestamptz, "
        "event_count bigint not null, row_counts jsonb not null, manifest_hash text not null, "
        "code_version text not null, raw_version text)"
    )


def _next_version(current: PublishedVersion | None, now: datetime) -> PublishedVersion:
    if current is not None and now <= current.published_at:
        return version_at(current.published_at + timedelta(microseconds=1))
    return version_at(now)


def _copy_marts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    draft = sql.Identifier(_DRAFT_SCHEMA)
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(draft))
    connection.execute(sql.SQL("create schema {}").format(draft))
    counts = {}
    for mart in Mart:
        target = sql.Identifier(_DRAFT_SCHEMA, mart.value)
        source = sql.Identifier(BUILD_SCHEMA, mart.value)
        connection.execute(sql.SQL("create table {} (like {} including all)").format(target, source))
        copied = connection.execute(sql.SQL("insert into {} select * from {}").format(target, source))
        counts[mart.value] = copied.rowcount
        connection.execute(sql.SQL("analyze {}").format(target))
    return counts


def _progress(connection: psycopg.Connection[Any]) -> tuple[datetime | None, int]:
    row = connection.execute(
        sql.SQL("select max(through), coalesce(sum(event_count), 0)::bigint from {}").format(
            sql.Identifier(_DRAFT_SCHEMA, Mart.WAREHOUSE_FRESHNESS.value)
        )
    ).fetchone()
    through, event_count = row or (None, 0)
    return through and through.astimezone(UTC), event_count


def _swap_patiently(connection: psycopg.Connection[Any], *, version: PublishedVersion, record: dict[str, Any]) -> None:
    for attempt in range(1, _SWAP_ATTEMPTS + 1):
        try:
            with connection.transaction():
                _swap(connection, version=version, record=record)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            # readers queue behind a waiting swap: let them through, then ask again
            if attempt == _SWAP_ATTEMPTS:
                raise
            time.sleep(0.2)
        else:
            return


def _swap(connection: psycopg.Connection[Any], *, version: PublishedVersion, record: dict[str, Any]) -> None:
    connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
    lock_for_swap(connection)
    published = sql.Identifier(PUBLISHED_SCHEMA)
    for mart in Mart:
        connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(PUBLISHED_SCHEMA, mart.value)))
        connection.execute(
            sql.SQL("alter table {} set schema {}").format(sql.Identifier(_DRAFT_SCHEMA, mart.value), published)
        )
    record_postgres_version(connection, version)
    connection.execute(
        f"insert into {PUBLISHED_SCHEMA}.publications "
        "values (%(version)s, %(through)s, %(event_count)s, %(row_counts)s, %(manifest_hash)s, "
        "%(code_version)s, %(raw_version)s)",
        record | {"row_counts": Jsonb(record["row_counts"])},
    )
    connection.execute(
        f"delete from {PUBLISHED_SCHEMA}.publications where version not in "
        f"(select version from {PUBLISHED_SCHEMA}.publications order by version desc limit %s)",
        (_KEPT_RECORDS,),
    )
    _grant(connection)


def _grant(connection: psycopg.Connection[Any]) -> None:
    """Let the group role of readers see the marts, where the server has one."""
    if connection.execute("select 1 from pg_roles where rolname = %s", (_READER_ROLE,)).fetchone() is None:
        return
    names = {"schema": sql.Identifier(PUBLISHED_SCHEMA), "reader": sql.Identifier(_READER_ROLE)}
    connection.execute(sql.SQL("grant usage on schema {schema} to {reader}").format(**names))
    connection.execute(sql.SQL("grant select on all tables in schema {schema} to {reader}").format(**names))
