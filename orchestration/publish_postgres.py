"""Publishing on a PostgreSQL warehouse: the marts of schema `published` catch up by the journal, in one transaction.

Where the journal does not reach back to what is published, all marts are copied beside the schema, then swapped in.
Both block nobody while they work. Their last step waits for readers, who hold a version for a transaction, but never
makes new readers wait long: it gives up after `_LOCK_TIMEOUT` and tries again.
"""

import logging
import time
from collections.abc import Callable
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
from orchestration.journal import (
    forget_changes,
    has_journals,
    is_complete_after,
    name_changes,
    net_changes,
    newest_name,
    row_keys,
    same_row,
)

logger = logging.getLogger(__name__)

_DRAFT_SCHEMA = "publishing"
_READER_ROLE = "sluice_reader"
_LOCK_TIMEOUT = "1s"
_SWAP_ATTEMPTS = 30
_KEPT_RECORDS = 1000


class _DisagreesError(Exception):
    """What is published cannot be brought up to date by the journal."""


def publish_to_postgres(url: str, *, made_of: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Make schema `build` what readers see; answers the version's record, to which `made_of` goes too.

    Raises:
        psycopg.errors.UndefinedTable: the build lacks a mart.
        psycopg.errors.LockNotAvailable: readers held the old version through all attempts.
    """
    with psycopg.connect(url) as connection:
        prepare_postgres(connection)
        _prepare_records(connection)
        current = read_postgres_version(connection)
        connection.commit()
        is_journaled = has_journals(connection)
        version = _next_version([current, newest_name(connection) if is_journaled else None], now)
        if is_journaled:
            name_changes(connection, version.version)
        connection.commit()
        record: dict[str, Any] = {"version": version.version, **made_of}
        if not is_journaled or current is None or not _catch_up(connection, version, record, after=current.version):
            record["row_counts"] = _copy_marts(connection)
            connection.commit()
            record["through"], record["event_count"] = _progress(connection, _DRAFT_SCHEMA)
            connection.commit()
            _patiently(connection, lambda: _swap(connection, version=version, record=record))
        if is_journaled:
            forget_changes(connection, version.version)
        return record


def _catch_up(
    connection: psycopg.Connection[Any], version: PublishedVersion, record: dict[str, Any], *, after: str
) -> bool:
    """Bring the published marts up to date; false, with nothing changed, where the journal does not lead there."""
    try:
        with connection.transaction():
            row_counts = _published_counts(connection, after)
            if row_counts is None or not is_complete_after(connection, after):
                return False
            keys = row_keys(connection)
            for mart in Mart:
                row_counts[mart.value] += _apply(connection, mart, keys=keys[mart.value], after=after)
            record["row_counts"] = row_counts
            record["through"], record["event_count"] = _progress(connection, PUBLISHED_SCHEMA)
            # readers see none of this yet: only to name it takes the moment in which nobody reads
            _patiently(connection, lambda: _name(connection, version=version, record=record))
    except _DisagreesError as error:
        logger.warning("version %s could not be brought up to date (%s); copying all marts", after, error)
        return False
    return True


def _published_counts(connection: psycopg.Connection[Any], version: str) -> dict[str, int] | None:
    """Row counts of what is published, as its record has them."""
    row = connection.execute(
        f"select row_counts from {PUBLISHED_SCHEMA}.publications where version = %s", (version,)
    ).fetchone()
    return row[0] if row else None


def _apply(connection: psycopg.Connection[Any], mart: Mart, *, keys: list[str], after: str) -> int:
    """Let a published mart be what it is in the build; answers how many rows it has more than before."""
    published = f"{PUBLISHED_SCHEMA}.{mart.value}"
    columns = [
        row[0]
        for row in connection.execute(
            "select column_name from information_schema.columns where table_schema = %s and table_name = %s "
            "order by ordinal_position",
            (PUBLISHED_SCHEMA, mart.value),
        ).fetchall()
    ]
    names = ", ".join(columns)
    net = f"net_{mart.value}"
    execute = connection.execute
    execute(f"create temporary table {net} on commit drop as {net_changes(mart, columns, after=after)}".encode())
    execute(f"analyze {net}".encode())
    counts = execute(
        f"select count(*) filter (where change = 1), count(*) filter (where change = -1), count(*) from {net}".encode()
    ).fetchone()
    came, went, changes = counts or (0, 0, 0)
    if came + went != changes:
        raise _DisagreesError(f"{mart.value}: the journal has a row more than once")
    if went:
        condition = same_row("old", "net", keys=keys, columns=columns)
        statement = f"delete from {published} as old using {net} as net where net.change = -1 and {condition}"
        deleted = execute(statement.encode()).rowcount
        if deleted != went:
            raise _DisagreesError(f"{mart.value}: {deleted} rows of {went} that went were there")
    if came:
        execute(f"insert into {published} ({names}) select {names} from {net} where change = 1".encode())
    return int(came - went)


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


def _next_version(given: list[PublishedVersion | None], now: datetime) -> PublishedVersion:
    """A name above those that were given, also to a version that was never published."""
    newest = max((version.published_at for version in given if version), default=None)
    if newest is not None and now <= newest:
        return version_at(newest + timedelta(microseconds=1))
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


def _progress(connection: psycopg.Connection[Any], schema: str) -> tuple[datetime | None, int]:
    row = connection.execute(
        sql.SQL("select max(through), coalesce(sum(event_count), 0)::bigint from {}").format(
            sql.Identifier(schema, Mart.WAREHOUSE_FRESHNESS.value)
        )
    ).fetchone()
    through, event_count = row or (None, 0)
    return through and through.astimezone(UTC), event_count


def _patiently(connection: psycopg.Connection[Any], step: Callable[[], None]) -> None:
    """Take a step that waits for readers, in a transaction (within another: a savepoint) of its own."""
    for attempt in range(1, _SWAP_ATTEMPTS + 1):
        try:
            with connection.transaction():
                step()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            # readers queue behind a waiting swap: let them through, then ask again
            if attempt == _SWAP_ATTEMPTS:
                raise
            time.sleep(0.2)
        else:
            return


def _swap(connection: psycopg.Connection[Any], *, version: PublishedVersion, record: dict[str, Any]) -> None:
    _lock(connection)
    published = sql.Identifier(PUBLISHED_SCHEMA)
    for mart in Mart:
        connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(PUBLISHED_SCHEMA, mart.value)))
        connection.execute(
            sql.SQL("alter table {} set schema {}").format(sql.Identifier(_DRAFT_SCHEMA, mart.value), published)
        )
    _name(connection, version=version, record=record)
    _grant(connection)


def _lock(connection: psycopg.Connection[Any]) -> None:
    connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
    lock_for_swap(connection)


def _name(connection: psycopg.Connection[Any], *, version: PublishedVersion, record: dict[str, Any]) -> None:
    """Let the marts, as the running transaction leaves them, be the current version."""
    _lock(connection)
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


def _grant(connection: psycopg.Connection[Any]) -> None:
    """Let the group role of readers see the marts, where the server has one."""
    if connection.execute("select 1 from pg_roles where rolname = %s", (_READER_ROLE,)).fetchone() is None:
        return
    names = {"schema": sql.Identifier(PUBLISHED_SCHEMA), "reader": sql.Identifier(_READER_ROLE)}
    connection.execute(sql.SQL("grant usage on schema {schema} to {reader}").format(**names))
    connection.execute(sql.SQL("grant select on all tables in schema {schema} to {reader}").format(**names))
