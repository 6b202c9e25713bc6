"""Publish the build as an immutable version: the only door from what dbt writes to what people read.

How is in `to_duckdb` and `to_postgres`: by the difference from a version that is there (`journal`), by a copy where
there is none. A part of the build that is not sound stays as the version before has it. What decides what is sound is
in `build` and `refresh`; where versions lie is in `metrics.publication`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import psycopg

from contracts.warehouse import PUBLISHED_SCHEMA, Mart, Part
from metrics.publication import (
    PublishedFolder,
    PublishedVersion,
    is_duckdb,
    parse_version,
    read_postgres_record,
    warehouse_folder,
)
from orchestration.build.progress import read_progress
from orchestration.publish.journal import Built
from orchestration.publish.keeping import Keeping
from orchestration.publish.to_duckdb import PublishError as PublishError
from orchestration.publish.to_duckdb import publish_to_folder
from orchestration.publish.to_postgres import publish_to_postgres

_BYTES = """
select coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relkind = 'r'
"""

#: Versions that stay on disk: a reader holds its file open only while it answers.
KEPT_VERSIONS = 5
#: Days that leave nothing behind.
NOTHING_KEPT = Keeping(days=0)


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What a published version was made of; stored beside its marts.

    `parts` says by part (`str(Part)`) in which version its rows changed last, and through when it knows all events;
    `checks` how many checks of the data ended how when it was published.
    """

    version: str
    through: datetime | None
    event_count: int
    row_counts: dict[str, int]
    manifest_hash: str
    code_version: str
    raw_version: str | None = None
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    checks: Mapping[str, int] = field(default_factory=dict)


def publish(
    warehouse_url: str,
    *,
    manifest_hash: str,
    now: datetime,
    raw_version: str | None = None,
    unsound: Collection[Part] = (),
    keep: int = KEPT_VERSIONS,
    kept: Keeping = NOTHING_KEPT,
    checks: Mapping[str, int] = MappingProxyType({}),
) -> Publication:
    """Make the build, but for its unsound parts, the version that readers open. The caller holds the build lock.

    `raw_version` is that of raw before dbt read it: the marts hold at least what it holds.

    Raises:
        PublishError: the build lacks a mart of a sound part. Readers keep the version they have.
    """
    last = last_publication(warehouse_url)
    reach = {part: progress.through for part, progress in read_progress(warehouse_url).items()}
    sound = [mart for mart in Mart if Part(mart.group, mart.speed) not in unsound]

    before = last.parts if last else {}
    known = {str(part) for part in reach} or set(before)

    def describe(version: str, built: Built) -> dict[str, Any]:
        # of a part that was not built since the events were staged anew nobody can say how far it is
        parts = {name: kept if name in known else {**kept, "through": None} for name, kept in before.items()}
        for part in {Part(mart.group, mart.speed) for mart in sound}:
            through = reach.get(part, built.through)
            is_changed = str(part) not in parts or not built.changed.isdisjoint(part.marts)
            parts[str(part)] = {
                "version": version if is_changed else parts[str(part)]["version"],
                "through": through.astimezone(UTC).isoformat() if through else None,
            }
        return {
            "version": version,
            "through": built.through,
            "event_count": built.event_count,
            "row_counts": built.row_counts,
            "manifest_hash": manifest_hash,
            "code_version": distribution_version("sluice"),
            "raw_version": raw_version,
            "parts": parts,
            "checks": dict(checks),
        }

    if is_duckdb(warehouse_url):
        folder = PublishedFolder(warehouse_folder(warehouse_url))
        record = publish_to_folder(warehouse_url, folder, sound=sound, describe=describe, now=now, keep=keep, kept=kept)
    else:
        record = publish_to_postgres(warehouse_url, sound=sound, describe=describe, now=now, kept=kept)
    return Publication(**record)


def bytes_of(warehouse_url: str, publication: Publication) -> int:
    """How large a published version is: its file, or PostgreSQL's tables with their indexes."""
    if is_duckdb(warehouse_url):
        folder = PublishedFolder(warehouse_folder(warehouse_url))
        return folder.path_of(parse_version(publication.version)).stat().st_size
    with psycopg.connect(warehouse_url) as connection:
        row = connection.execute(_BYTES, (PUBLISHED_SCHEMA,)).fetchone()
    return int(row[0]) if row else 0


def discard_damaged(warehouse_url: str) -> PublishedVersion | None:
    """Take a published version out of use whose file is gone or cannot be opened; answers which. Readers have the one
    before. The caller holds the build lock, and publishes anew.
    """
    folder = PublishedFolder(warehouse_folder(warehouse_url))
    current = folder.current()
    if current is None or not is_damaged(warehouse_url):
        return None
    folder.discard(current)
    return current


def is_damaged(warehouse_url: str) -> bool:
    """Whether the current version's file is gone, was reported by a reader, or cannot be opened."""
    folder = PublishedFolder(warehouse_folder(warehouse_url))
    current = folder.current()
    if current is None:
        return False
    if folder.is_damaged(current):
        return True
    path = folder.path_of(current)
    try:
        found = path.stat()
        written = (path, found.st_ino, found.st_size, found.st_mtime_ns)
        if written not in _opened:  # opening costs a hundred times the look
            duckdb.connect(path, read_only=True, config={"enable_external_access": "false"}).close()
            _opened.clear()
            _opened.add(written)
    except (duckdb.Error, FileNotFoundError):
        return True
    return False


#: The file that could last be opened, as it was then.
_opened: set[tuple[Path, int, int, int]] = set()


def last_publication(warehouse_url: str) -> Publication | None:
    """What the current version was made of; None before the first one."""
    if is_duckdb(warehouse_url):
        folder = PublishedFolder(warehouse_folder(warehouse_url))
        current = folder.current()
        record = folder.record(current) if current else None
    else:
        record = read_postgres_record(warehouse_url)
    # a record may be of a newer version of Sluice, which was taken back
    known = {one.name for one in fields(Publication)}
    return Publication(**{name: value for name, value in record.items() if name in known}) if record else None
