"""Publish the build as an immutable version: the only door from what dbt writes to what people read.

How is in `publish_duckdb` and `publish_postgres`: by the difference from a version that is there (`journal`), or by a
copy of all marts where there is none. What decides whether to publish is in `defs/`; where versions lie is in
`metrics.publication`.
"""

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as distribution_version
from pathlib import Path

from metrics.publication import PublishedFolder, is_duckdb, warehouse_folder
from orchestration.publish_duckdb import PublishError as PublishError
from orchestration.publish_duckdb import publish_to_folder, read_record
from orchestration.publish_postgres import publish_to_postgres, read_last_publication

#: Versions that stay on disk: a reader holds its file open only while it answers.
KEPT_VERSIONS = 5


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
    return Publication(**publish_to_folder(build_path(warehouse_url), folder, made_of=made_of, now=now, keep=keep))


def last_publication(warehouse_url: str) -> Publication | None:
    """What the current version was made of; None before the first one."""
    if not is_duckdb(warehouse_url):
        row = read_last_publication(warehouse_url)
        return Publication(**row) if row else None
    folder = PublishedFolder(warehouse_folder(warehouse_url))
    current = folder.current()
    if current is None:
        return None
    record = read_record(folder, current)
    return Publication(**record) if record else None
