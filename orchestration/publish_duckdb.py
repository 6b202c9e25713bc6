"""Publishing on a DuckDB warehouse: a file that nobody reads any more is brought up to date and is the next version.

Where the file comes from, the first that there is: a clone of the current version that shares its blocks (on file
systems that can), the oldest kept version if nobody holds it, a copy of the current version. All of these catch up by
the journal of the build, in one transaction; where a file then disagrees with the build, or there is none, all marts
are written anew. The draft is synced and renamed before CURRENT names it: a crash leaves the current version as it was.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from contracts.warehouse import Mart
from metrics.publication import PublishedFolder, PublishedVersion, replace_file, version_at
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

_CONFIG: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "1GB"}

#: ioctl that makes a file share another one's blocks until either is written (Linux: Btrfs, XFS, and others).
_FICLONE = 0x40049409


class PublishError(RuntimeError):
    """The build cannot be published: says what is wrong with it."""


class _DisagreesError(Exception):
    """A file that caught up is not what the build is."""


def publish_to_folder(
    build: Path, folder: PublishedFolder, *, made_of: dict[str, Any], now: datetime, keep: int
) -> dict[str, Any]:
    """Make the build the current version; answers its record, to which `made_of` goes too.

    Raises:
        PublishError: there is no build, or it lacks a mart.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    for leftover in folder.root.glob("*.duckdb.tmp*"):
        if leftover.is_file():  # a folder is where somebody who reads a version puts what does not fit into memory
            leftover.unlink()
    if not build.exists():
        raise PublishError("There is no build yet: dbt has not written anything.")
    with duckdb.connect(str(build), config=_CONFIG) as connection:
        _require_marts(connection)
        is_journaled = has_journals(connection)
        version = _next_version(connection, folder, now, is_journaled=is_journaled)
        if is_journaled:
            with _transaction(connection):
                name_changes(connection, version.version)
        draft = folder.root / f"{version.version}.duckdb.tmp"
        if not is_journaled or not _bring_up_to_date(connection, folder, draft, keep=keep):
            _write_anew(connection, draft)
        record = {"version": version.version, **_describe(connection, draft), **made_of}
        _sync(draft)
        draft.rename(folder.path_of(version))
        replace_file(_record_path(folder, version), json.dumps(record, default=datetime.isoformat))
        folder.point_to(version)
        _sync(folder.root)
        for pruned in folder.prune(keep):
            _record_path(folder, pruned).unlink(missing_ok=True)
        if is_journaled:
            with _transaction(connection):
                forget_changes(connection, folder.versions()[0].version)
    return record


def read_record(folder: PublishedFolder, version: PublishedVersion) -> dict[str, Any] | None:
    """What a version was made of; None where nothing says so."""
    try:
        record: dict[str, Any] = json.loads(_record_path(folder, version).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    record["through"] = datetime.fromisoformat(record["through"]) if record["through"] else None
    return record


def _record_path(folder: PublishedFolder, version: PublishedVersion) -> Path:
    return folder.path_of(version).with_suffix(".json")


def _next_version(
    connection: duckdb.DuckDBPyConnection, folder: PublishedFolder, now: datetime, *, is_journaled: bool
) -> PublishedVersion:
    """A name above every one that was given, also to a version that a crash left unpublished."""
    given = [*folder.versions(), *filter(None, [folder.current()])]
    if is_journaled and (named := newest_name(connection)):
        given.append(named)
    newest = max((version.published_at for version in given), default=None)
    # names must grow even when the clock was set back
    if newest is not None and now <= newest:
        return version_at(newest + timedelta(microseconds=1))
    return version_at(now)


def _require_marts(connection: duckdb.DuckDBPyConnection) -> None:
    tables = connection.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall()
    if missing := sorted({mart.value for mart in Mart} - {row[0] for row in tables}):
        raise PublishError(f"The build lacks {', '.join(missing)}.")


def _bring_up_to_date(
    connection: duckdb.DuckDBPyConnection, folder: PublishedFolder, draft: Path, *, keep: int
) -> bool:
    """Make `draft` of a file that is there; false where none would do."""
    base = _begin_draft(connection, folder, draft, keep=keep)
    if base is None:
        return False
    try:
        _catch_up(connection, draft, after=base.version)
    except (_DisagreesError, duckdb.Error) as error:
        logger.warning("version %s could not be brought up to date (%s); writing all marts anew", base.version, error)
        for leftover in folder.root.glob(f"{draft.name}*"):
            leftover.unlink()
        return False
    return True


def _begin_draft(
    connection: duckdb.DuckDBPyConnection, folder: PublishedFolder, draft: Path, *, keep: int
) -> PublishedVersion | None:
    """Put a file in place as the draft; answers which version it was, None where the journal reaches back to none."""
    versions, current = folder.versions(), folder.current()
    if current not in versions or not is_complete_after(connection, current.version):
        return None
    if _clone(folder.path_of(current), draft):
        return current
    oldest = versions[0]
    is_spare = len(versions) >= keep and oldest != current and is_complete_after(connection, oldest.version)
    if is_spare and folder.take(oldest, draft):
        _record_path(folder, oldest).unlink(missing_ok=True)
        return oldest
    shutil.copyfile(folder.path_of(current), draft)
    return current


def _clone(source: Path, target: Path) -> bool:
    with source.open("rb") as read, target.open("wb") as written:
        try:
            fcntl.ioctl(written, _FICLONE, read.fileno())
        except OSError:
            return False
    return True


def _catch_up(connection: duckdb.DuckDBPyConnection, draft: Path, *, after: str) -> None:
    keys = row_keys(connection)
    with _attached(connection, draft):
        with _transaction(connection):
            for mart in Mart:
                _apply(connection, mart, keys=keys[mart.value], after=after)
        connection.execute("force checkpoint draft")


def _apply(connection: duckdb.DuckDBPyConnection, mart: Mart, *, keys: list[str], after: str) -> None:
    """Let a mart of the draft be what it is in the build."""
    columns = [row[0] for row in connection.execute(f"describe main.{mart.value}").fetchall()]
    names = ", ".join(columns)
    connection.execute(f"create or replace temp table net as {net_changes(mart, columns, after=after)}")
    came, went, others = _row(
        connection,
        "select count(*) filter (change = 1), count(*) filter (change = -1), "
        "count(*) filter (change not in (1, -1)) from net",
    )
    if others:
        raise _DisagreesError(f"{mart.value}: the journal has a row more than once")
    if went:
        # the key columns of all rows are read, the others of what was found
        key_names = ", ".join(keys)
        connection.execute(
            f"create or replace temp table old as select rowid as place, {names} from draft.main.{mart.value} "
            f"where rowid in (select rowid from draft.main.{mart.value} "
            f"where ({key_names}) in (select {key_names} from net where change = -1))"
        )
        (deleted,) = _row(
            connection,
            f"delete from draft.main.{mart.value} where rowid in (select old.place from old "
            "where exists (select 1 from net where net.change = -1 and "
            f"{same_row('old', 'net', keys=keys, columns=columns)}))",
        )
        if deleted != went:
            raise _DisagreesError(f"{mart.value}: {deleted} rows of {went} that went were there")
    if came:
        connection.execute(f"insert into draft.main.{mart.value} ({names}) select {names} from net where change = 1")
    count = f"select (select count(*) from draft.main.{mart.value}), (select count(*) from main.{mart.value})"
    caught_up, built = _row(connection, count)
    if caught_up != built:
        raise _DisagreesError(f"{mart.value}: {caught_up} rows instead of {built}")


def _write_anew(connection: duckdb.DuckDBPyConnection, draft: Path) -> None:
    """Write all marts, the rows of an organization together: who asks, asks for one, and reads a part of the file."""
    draft.unlink(missing_ok=True)
    shared = connection.execute(
        "select table_name from duckdb_columns() where schema_name = 'main' and column_name = 'organization_id'"
    ).fetchall()
    of_organizations = {row[0] for row in shared}
    with _attached(connection, draft):
        for mart in Mart:
            order = "order by organization_id" if mart.value in of_organizations else ""
            connection.execute(f"create table draft.main.{mart.value} as from main.{mart.value} {order}")
        connection.execute("force checkpoint draft")


def _describe(connection: duckdb.DuckDBPyConnection, draft: Path) -> dict[str, Any]:
    with _attached(connection, draft, "read_only"):
        counts = ", ".join(f"(select count(*) from draft.main.{mart.value})" for mart in Mart)
        through, event_count, *row_counts = _row(
            connection,
            f"select max(through), coalesce(sum(event_count), 0)::bigint, {counts} "
            f"from draft.main.{Mart.WAREHOUSE_FRESHNESS.value}",
        )
    return {
        "through": through and through.astimezone(UTC),
        "event_count": event_count,
        "row_counts": dict(zip((mart.value for mart in Mart), row_counts, strict=True)),
    }


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, draft: Path, *options: str) -> Iterator[None]:
    quoted = str(draft).replace("'", "''")
    connection.execute(f"attach '{quoted}' as draft" + (f" ({', '.join(options)})" if options else ""))
    try:
        yield
    finally:
        connection.execute("detach draft")


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise AssertionError(f"no row from {query}")
    return row


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
