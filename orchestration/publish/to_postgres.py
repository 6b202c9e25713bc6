"""Publishing on a PostgreSQL warehouse, in one transaction: the live marts of schema `published` catch up by the
journal, the others that were built again are copied beside it and take the place of what is there.

This blocks nobody while it works. The last step waits for readers, who hold a version for a transaction, but never
makes new readers wait long: it gives up after `_LOCK_TIMEOUT` and tries again.
"""

import logging
import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from contracts.warehouse import BUILD_SCHEMA, PUBLISHED_SCHEMA, Mart
from metrics.publication import (
    PublishedVersion,
    lock_for_swap,
    prepare_postgres,
    read_postgres_version,
    record_postgres_version,
)
from orchestration.publish.journal import (
    Built,
    Describe,
    DisagreesError,
    changed_marts,
    completeness,
    forget_changes,
    how_far,
    name_changes,
    net_changes,
    next_version,
    row_keys,
    same_row,
)
from orchestration.publish.keeping import Keeping, grant_reading

logger = logging.getLogger(__name__)

_DRAFT_SCHEMA = "publishing"
_LOCK_TIMEOUT = "1s"
_SWAP_ATTEMPTS = 30
_KEPT_RECORDS = 1000


def publish_to_postgres(
    url: str, *, sound: Collection[Mart], describe: Describe, now: datetime, kept: Keeping
) -> dict[str, Any]:
    """Make the sound marts of schema `build` what readers see, beside the others as they were; answers the record.

    Raises:
        psycopg.errors.UndefinedTable: the build lacks a mart.
        psycopg.errors.LockNotAvailable: readers held the old version through all attempts.
    """
    with psycopg.connect(url, options=f"-c search_path={BUILD_SCHEMA}") as connection:
        prepare_postgres(connection)
        current = read_postgres_version(connection)
        connection.commit()
        version = next_version(connection, [current] if current else [], now)
        kept.keep_schema(connection, current, now=version.published_at)
        connection.commit()
        name_changes(connection, version.version, sound)
        connection.commit()
        counts = _published_counts(connection, current)
        followed = [
            mart
            for mart, since in completeness(connection).items()
            if current is not None and mart.value in counts and since is not None and since <= current.version
        ]
        try:
            record = _publish(
                connection, version, current, followed, sound=sound, counts=dict(counts), describe=describe
            )
        except DisagreesError as error:
            logger.warning("version %s could not be brought up to date (%s); copying all marts", current, error)
            record = _publish(connection, version, current, [], sound=sound, counts=dict(counts), describe=describe)
        forget_changes(connection, version.version)
        return record


def _publish(
    connection: psycopg.Connection[Any],
    version: PublishedVersion,
    current: PublishedVersion | None,
    followed: Collection[Mart],
    *,
    sound: Collection[Mart],
    counts: dict[str, int],
    describe: Describe,
) -> dict[str, Any]:
    with connection.transaction():
        after = current.version if current else ""
        changed = changed_marts(connection, followed, after=after)
        keys = row_keys(connection) if changed else {}
        for mart in changed:
            counts[mart.value] += _apply(connection, mart, keys=keys[mart.value], after=after)
        anew = [mart for mart in sound if mart not in followed]
        counts |= _copy(connection, anew)
        record = describe(version.version, Built(*how_far(connection), counts, {*changed, *anew}))
        # readers see none of this yet: only to name it takes the moment in which nobody reads
        _patiently(connection, lambda: _swap(connection, anew, version=version, record=record))
    return record


def _published_counts(connection: psycopg.Connection[Any], current: PublishedVersion | None) -> dict[str, int]:
    """Row counts of what is published, as its record has them."""
    row = connection.execute(
        f"select row_counts from {PUBLISHED_SCHEMA}.publications where version = %s",
        (current.version if current else None,),
    ).fetchone()
    return row[0] if row else {}


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
        raise DisagreesError(f"{mart.value}: the journal has a row more than once")
    if went:
        condition = same_row("old", "net", keys=keys, columns=columns)
        statement = f"delete from {published} as old using {net} as net where net.change = -1 and {condition}"
        deleted = execute(statement.encode()).rowcount
        if deleted != went:
            raise DisagreesError(f"{mart.value}: {deleted} rows of {went} that went were there")
    if came:
        execute(f"insert into {published} ({names}) select {names} from {net} where change = 1".encode())
    return int(came - went)


def _copy(connection: psycopg.Connection[Any], marts: Collection[Mart]) -> dict[str, int]:
    """Copy marts of the build into a schema of their own; answers their row counts."""
    draft = sql.Identifier(_DRAFT_SCHEMA)
    if marts:
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(draft))
        connection.execute(sql.SQL("create schema {}").format(draft))
    counts = {}
    for mart in marts:
        target = sql.Identifier(_DRAFT_SCHEMA, mart.value)
        source = sql.Identifier(BUILD_SCHEMA, mart.value)
        connection.execute(sql.SQL("create table {} (like {} including all)").format(target, source))
        copied = connection.execute(sql.SQL("insert into {} select * from {}").format(target, source))
        counts[mart.value] = copied.rowcount
        connection.execute(sql.SQL("analyze {}").format(target))
    return counts


def _patiently(connection: psycopg.Connection[Any], step: Callable[[], None]) -> None:
    """Take a step that waits for readers, in a savepoint of its own."""
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


def _swap(
    connection: psycopg.Connection[Any], anew: Collection[Mart], *, version: PublishedVersion, record: dict[str, Any]
) -> None:
    """Let the marts, as the running transaction leaves them, be the current version."""
    connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
    lock_for_swap(connection)
    published = sql.Identifier(PUBLISHED_SCHEMA)
    for mart in anew:
        connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(PUBLISHED_SCHEMA, mart.value)))
        connection.execute(
            sql.SQL("alter table {} set schema {}").format(sql.Identifier(_DRAFT_SCHEMA, mart.value), published)
        )
    record_postgres_version(connection, version)
    connection.execute(
        f"insert into {PUBLISHED_SCHEMA}.publications "
        "(version, through, event_count, row_counts, manifest_hash, code_version, raw_version, parts, checks) "
        "values (%(version)s, %(through)s, %(event_count)s, %(row_counts)s, %(manifest_hash)s, %(code_version)s, "
        "%(raw_version)s, %(parts)s, %(checks)s)",
        record | {name: Jsonb(record[name]) for name in ("row_counts", "parts", "checks")},
    )
    connection.execute(
        f"delete from {PUBLISHED_SCHEMA}.publications where version not in "
        f"(select version from {PUBLISHED_SCHEMA}.publications order by version desc limit %s) "
        f"and version not in (select version from {PUBLISHED_SCHEMA}.kept_versions)",
        (_KEPT_RECORDS,),
    )
    grant_reading(connection, PUBLISHED_SCHEMA)
