"""Publishing on a DuckDB warehouse: a file that nobody reads any more is brought up to date and is the next version.

Where the file comes from, the first that there is: a clone of the current version that shares its blocks (on file
systems that can), the oldest kept version if nobody holds it, a copy of the current version. Live marts catch up by the
journal of the build, settled ones that were built again are copied, in one transaction; where a file then disagrees
with the build, or there is none, all marts are written anew. The draft is synced and renamed before CURRENT names it: a
crash leaves the current version as it was.
"""

import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from contracts.warehouse import Mart
from metrics.publication import PublishedFolder, PublishedVersion, clone_file
from orchestration.build.database import build_path, connect_file, transaction
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
    unnamed_growth,
)
from orchestration.publish.keeping import Keeping

logger = logging.getLogger(__name__)


class PublishError(RuntimeError):
    """The build cannot be published: says what is wrong with it."""


def publish_to_folder(
    url: str,
    folder: PublishedFolder,
    *,
    sound: Collection[Mart],
    describe: Describe,
    now: datetime,
    keep: int,
    kept: Keeping,
) -> dict[str, Any]:
    """Make the sound marts of the build the current version, beside the others of the version before; its record.

    Raises:
        PublishError: there is no build, or it lacks a mart.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    for leftover in folder.root.glob("*.duckdb.tmp*"):
        if leftover.is_file():  # a folder is where somebody who reads a version puts what does not fit into memory
            leftover.unlink()
    if not build_path(url).exists():
        raise PublishError("There is no build yet: dbt has not written anything.")
    with connect_file(url) as connection:
        _require_marts(connection, sound)
        current = folder.current()
        version = next_version(connection, [*folder.versions(), *([current] if current else [])], now)
        kept.keep_folder(folder, current, now=version.published_at)
        with transaction(connection):
            name_changes(connection, version.version, sound)
        draft = folder.root / f"{version.version}.duckdb.tmp"
        changed = _bring_up_to_date(connection, folder, draft, sound=sound, keep=keep)
        if changed is None:
            _write_anew(connection, folder, draft, sound=sound)
            changed = set(sound)
        record = describe(version.version, Built(*how_far(connection), _count(connection, draft), changed))
        _sync(draft)
        draft.rename(folder.path_of(version))
        folder.write_record(version, json.dumps(record, default=datetime.isoformat))
        folder.point_to(version)
        _sync(folder.root)
        folder.prune(keep)
        with transaction(connection):
            forget_changes(connection, folder.versions()[0].version)
    return record


def _require_marts(connection: duckdb.DuckDBPyConnection, marts: Collection[Mart]) -> None:
    tables = connection.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall()
    if missing := sorted({mart.value for mart in marts} - {row[0] for row in tables}):
        raise PublishError(f"The build lacks {', '.join(missing)}.")


def _bring_up_to_date(
    connection: duckdb.DuckDBPyConnection, folder: PublishedFolder, draft: Path, *, sound: Collection[Mart], keep: int
) -> set[Mart] | None:
    """Make `draft` of a file that is there; answers the marts that were changed, None where no file would do."""
    known = completeness(connection)
    base = _begin_draft(folder, draft, known, sound=sound, keep=keep)
    if base is None:
        return None
    try:
        return _catch_up(connection, draft, known, sound=sound, after=base.version)
    except (DisagreesError, duckdb.Error) as error:
        logger.warning("version %s could not be brought up to date (%s); writing all marts anew", base.version, error)
        for leftover in folder.root.glob(f"{draft.name}*"):
            leftover.unlink()
        return None


def _begin_draft(
    folder: PublishedFolder, draft: Path, known: dict[Mart, str | None], *, sound: Collection[Mart], keep: int
) -> PublishedVersion | None:
    """Put a file in place as the draft; answers which version it was, None where nothing is to be gained by one."""
    versions, current = folder.versions(), folder.current()
    if current not in versions or not any(_is_complete(known, mart, current) for mart in Mart):
        return None
    if clone_file(folder.path_of(current), draft):
        return current
    oldest = versions[0]
    # what is not sound can only be followed, not copied from the build
    is_spare = len(versions) >= keep and oldest != current
    is_spare = is_spare and all(_is_complete(known, mart, oldest) for mart in Mart if mart not in sound)
    if is_spare and folder.take(oldest, draft):
        return oldest
    shutil.copyfile(folder.path_of(current), draft)
    return current


def _is_complete(known: dict[Mart, str | None], mart: Mart, after: PublishedVersion) -> bool:
    """Whether the journal says all that became of a mart after a version."""
    since = known.get(mart)
    return since is not None and since <= after.version


def _catch_up(
    connection: duckdb.DuckDBPyConnection,
    draft: Path,
    known: dict[Mart, str | None],
    *,
    sound: Collection[Mart],
    after: str,
) -> set[Mart]:
    keys = row_keys(connection)
    followed = [mart for mart, since in known.items() if since is not None and since <= after]
    changed = changed_marts(connection, followed, after=after)
    anew = [mart for mart in sound if mart not in followed]
    with _attached(connection, draft):
        with transaction(connection):
            for mart in changed:
                _apply(connection, mart, keys=keys[mart.value], after=after)
            for mart in anew:
                _copy(connection, mart)
        connection.execute("force checkpoint draft")
    return {*changed, *anew}


def _apply(connection: duckdb.DuckDBPyConnection, mart: Mart, *, keys: list[str], after: str) -> None:
    """Let a mart of the draft be what it is in the build, as far as its changes have a name."""
    columns = [row[0] for row in connection.execute(f"describe main.{mart.value}").fetchall()]
    names = ", ".join(columns)
    connection.execute(f"create or replace temp table net as {net_changes(mart, columns, after=after)}")
    came, went, others = _row(
        connection,
        "select count(*) filter (change = 1), count(*) filter (change = -1), "
        "count(*) filter (change not in (1, -1)) from net",
    )
    if others:
        raise DisagreesError(f"{mart.value}: the journal has a row more than once")
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
            raise DisagreesError(f"{mart.value}: {deleted} rows of {went} that went were there")
    if came:
        connection.execute(f"insert into draft.main.{mart.value} ({names}) select {names} from net where change = 1")
    caught_up, built = _row(
        connection,
        f"select (select count(*) from draft.main.{mart.value}), "
        f"(select count(*) from main.{mart.value}) - ({unnamed_growth(mart)})",
    )
    if caught_up != built:
        raise DisagreesError(f"{mart.value}: {caught_up} rows instead of {built}")


def _copy(connection: duckdb.DuckDBPyConnection, mart: Mart, source: str = "main") -> None:
    """Copy a mart, the rows of an organization together: who asks, asks for one, and reads a part of the file."""
    columns = [row[0] for row in connection.execute(f"describe {source}.{mart.value}").fetchall()]
    order = "order by organization_id" if "organization_id" in columns else ""
    connection.execute(f"create or replace table draft.main.{mart.value} as from {source}.{mart.value} {order}")


def _write_anew(
    connection: duckdb.DuckDBPyConnection, folder: PublishedFolder, draft: Path, *, sound: Collection[Mart]
) -> None:
    draft.unlink(missing_ok=True)
    current = folder.current()
    with _attached(connection, draft):
        for mart in sound:
            _copy(connection, mart)
        if current is not None and len(sound) < len(Mart):
            with _attached(connection, folder.path_of(current), "read_only", name="before"):
                for mart in _marts_in(connection, "before") - set(sound):
                    _copy(connection, mart, source="before.main")
        connection.execute("force checkpoint draft")


def _marts_in(connection: duckdb.DuckDBPyConnection, database: str) -> set[Mart]:
    tables = connection.execute(f"select table_name from duckdb_tables() where database_name = '{database}'").fetchall()
    return {mart for (name,) in tables if (mart := Mart.named(name)) is not None}


def _count(connection: duckdb.DuckDBPyConnection, draft: Path) -> dict[str, int]:
    with _attached(connection, draft, "read_only"):
        marts = sorted(_marts_in(connection, "draft"))
        counts = ", ".join(f"(select count(*) from draft.main.{mart.value})" for mart in marts)
        return dict(zip((mart.value for mart in marts), _row(connection, f"select {counts}"), strict=True))


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, file: Path, *options: str, name: str = "draft") -> Iterator[None]:
    quoted = str(file).replace("'", "''")
    connection.execute(f"attach '{quoted}' as {name}" + (f" ({', '.join(options)})" if options else ""))
    try:
        yield
    finally:
        connection.execute(f"detach {name}")


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
