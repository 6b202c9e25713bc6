"""Publish the build as an immutable version: the only door from what dbt writes to what people read.

DuckDB: the build file is copied, reduced to the marts, synced and renamed; then CURRENT is pointed to it. PostgreSQL:
the marts are copied beside schema `published` and swapped into it in one transaction. What decides whether to publish
is in `defs/`; where versions lie is in `metrics.publication`.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import duckdb

from contracts.warehouse import Mart
from metrics.publication import (
    PublishedFolder,
    PublishedVersion,
    is_duckdb,
    replace_file,
    version_at,
    warehouse_folder,
)
from orchestration.publish_postgres import publish_to_postgres, read_last_publication

#: Versions that stay on disk: a reader holds its file open only while it answers.
KEPT_VERSIONS = 5


class PublishError(RuntimeError):
    """The build cannot be published: says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What a published version was made of; stored beside its marts."""

    version: str
    through: datetime | None
    event_count: int
    row_counts: dict[str, int]
    manifest_hash: str
    code_version: str
    raw_version: str | None = None


def build_path(warehouse_url: str) -> Path:
    """The private DuckDB file that dbt writes."""
    return warehouse_folder(warehouse_url) / "build" / "warehouse.duckdb"


def publish(
    warehouse_url: str,
    *,
    manifest_hash: str,
    now: datetime,
    raw_version: str | None = None,
    keep: int = KEPT_VERSIONS,
) -> Publication:
    """Make the build the version that readers open. The caller holds the build lock; nothing else writes meanwhile.

    `raw_version` is that of raw before dbt read it: the marts hold at least what it holds.

    Raises:
        PublishError: the build lacks a mart. Readers keep the version they have.
    """
    made_of = {
        "manifest_hash": manifest_hash,
        "code_version": distribution_version("sluice"),
        "raw_version": raw_version,
    }
    if not is_duckdb(warehouse_url):
        return Publication(**publish_to_postgres(warehouse_url, made_of=made_of, now=now))
    folder = PublishedFolder(warehouse_folder(warehouse_url))
    version = _next_version(folder.current(), now)
    publication = _write_version(build_path(warehouse_url), folder, version=version, made_of=made_of)
    folder.point_to(version)
    _sync(folder.root)
    for pruned in folder.prune(keep):
        _record_path(folder, pruned).unlink(missing_ok=True)
    return publication


def last_publication(warehouse_url: str) -> Publication | None:
    """What the current version was made of; None before the first one."""
    if not is_duckdb(warehouse_url):
        row = read_last_publication(warehouse_url)
        return Publication(**row) if row else None
    folder = PublishedFolder(warehouse_folder(warehouse_url))
    current = folder.current()
    if current is None:
        return None
    try:
        return _parse(_record_path(folder, current).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _record_path(folder: PublishedFolder, version: PublishedVersion) -> Path:
    return folder.path_of(version).with_suffix(".json")


def _next_version(current: PublishedVersion | None, now: datetime) -> PublishedVersion:
    # names must grow even when the clock was set back
    if current is not None and now <= current.published_at:
        return version_at(current.published_at + timedelta(microseconds=1))
    return version_at(now)


def _write_version(
    build: Path, folder: PublishedFolder, *, version: PublishedVersion, made_of: dict[str, Any]
) -> Publication:
    folder.root.mkdir(parents=True, exist_ok=True)
    for leftover in folder.root.glob("*.duckdb.tmp*"):
        leftover.unlink()
    draft = folder.root / f"{version.version}.duckdb.tmp"
    if not build.exists():
        raise PublishError("There is no build yet: dbt has not written anything.")
    with duckdb.connect(str(build)) as connection:
        connection.execute("force checkpoint")
    shutil.copyfile(build, draft)
    with duckdb.connect(str(draft)) as connection:
        _reduce_to_marts(connection)
        row_counts = {mart.value: _single(connection, f"select count(*) from {mart.value}") for mart in Mart}
        through, event_count = _progress(connection)
        publication = Publication(
            version=version.version,
            through=through,
            event_count=event_count,
            row_counts=row_counts,
            **made_of,
        )
        connection.execute("force checkpoint")
    _sync(draft)
    draft.rename(folder.path_of(version))
    replace_file(_record_path(folder, version), _dump(publication))
    return publication


def _reduce_to_marts(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop everything that readers need not see, in the copy."""
    marts = {mart.value for mart in Mart}
    tables = {
        row[0]
        for row in connection.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall()
    }
    if missing := sorted(marts - tables):
        raise PublishError(f"The build lacks {', '.join(missing)}.")
    for schema in connection.execute(
        "select schema_name from duckdb_schemas() "
        "where not internal and schema_name <> 'main' and database_name = current_database()"
    ).fetchall():
        connection.execute(f'drop schema "{schema[0]}" cascade')
    for view in connection.execute(
        "select view_name from duckdb_views() where not internal and schema_name = 'main'"
    ).fetchall():
        connection.execute(f'drop view "{view[0]}"')
    for table in sorted(tables - marts):
        connection.execute(f'drop table "{table}"')


def _progress(connection: duckdb.DuckDBPyConnection) -> tuple[datetime | None, int]:
    row = connection.execute(
        f"select max(through), coalesce(sum(event_count), 0)::bigint from {Mart.WAREHOUSE_FRESHNESS.value}"
    ).fetchone()
    through, event_count = row or (None, 0)
    return through and through.astimezone(UTC), event_count


def _single(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _dump(publication: Publication) -> str:
    return json.dumps(asdict(publication) | {"through": publication.through and publication.through.isoformat()})


def _parse(text: str) -> Publication:
    fields: dict[str, Any] = json.loads(text)
    fields["through"] = datetime.fromisoformat(fields["through"]) if fields["through"] else None
    return Publication(**fields)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
