"""Layout of published warehouse versions, shared by the publisher (orchestration) and the reader (here).

DuckDB: `<folder>/published/<version>.duckdb` is immutable, `CURRENT` names the version that readers open and is
replaced by an atomic rename. A reader holds a shared lock on the file it reads (`hold`): a file that nobody holds may
be taken back to become a newer version (`take`), under another name, so that no name ever stands for two contents.
PostgreSQL: schema `published`, and one row in `published.current_version`, which also serves as the lock between
readers (shared) and the swap (exclusive).
Beside each version lies its record: what it was made of, and how far each part (a group at one speed) of it is.
The version with which a day (UTC) ended is kept for some days, to be asked again by its name: a copy in
`published/kept`, or in a schema of its own (`schema_of`).
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from psycopg.rows import dict_row

from contracts.warehouse import PUBLISHED_SCHEMA, Part, duckdb_folder

_FORMAT = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"^\d{8}T\d{12}Z$")
_CURRENT = "CURRENT"
#: ioctl that makes a file share another one's blocks until either is written (Linux: Btrfs, XFS, and others).
_FICLONE = 0x40049409


@dataclass(frozen=True)
class PublishedVersion:
    """One version of the marts: its name, and the instant at which it was published."""

    version: str
    published_at: datetime


@dataclass(frozen=True)
class PublishedPart:
    """How far a part is in a published version.

    `version` is the one in which its rows changed last; `through` the newest `recorded_at` of all events that it knows,
    of any organization: None where nothing says so, and it is as far as the whole.
    """

    version: PublishedVersion
    through: datetime | None


def part_in(record: Mapping[str, Any] | None, part: Part, *, whole: PublishedVersion) -> PublishedPart:
    """What a version's record says of a part; `whole` is the version, of which it is where nothing is said."""
    kept = ((record or {}).get("parts") or {}).get(str(part))
    if kept is None:
        return PublishedPart(version=whole, through=None)
    through = datetime.fromisoformat(kept["through"]) if kept["through"] else None
    return PublishedPart(version=parse_version(kept["version"]), through=through)


def version_at(instant: datetime) -> PublishedVersion:
    """The version published at `instant`; names sort by time."""
    moment = instant.astimezone(UTC)
    return PublishedVersion(version=moment.strftime(_FORMAT), published_at=moment)


def parse_version(name: str) -> PublishedVersion:
    """Read a version's name back.

    Raises:
        ValueError: the text is no version name.
    """
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no version name")
    return PublishedVersion(version=name, published_at=datetime.strptime(name, _FORMAT).replace(tzinfo=UTC))


def is_duckdb(warehouse_url: str) -> bool:
    """Whether the warehouse is a folder of DuckDB files (else it is PostgreSQL)."""
    return duckdb_folder(warehouse_url) is not None


def warehouse_folder(warehouse_url: str) -> Path:
    """Folder of a `duckdb:///absolute/folder` warehouse.

    Raises:
        ValueError: the warehouse is PostgreSQL.
    """
    folder = duckdb_folder(warehouse_url)
    if folder is None:
        raise ValueError("the warehouse is PostgreSQL: it has no folder")
    return folder


class VersionFiles:
    """Versions as files of a folder, each with its record."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, version: PublishedVersion) -> Path:
        """The version's file."""
        return self.root / f"{version.version}.duckdb"

    def versions(self) -> list[PublishedVersion]:
        """All versions whose files are there, oldest first."""
        names = sorted(path.stem for path in self.root.glob("*.duckdb") if _NAME.match(path.stem))
        return [parse_version(name) for name in names]

    def hold(self, version: PublishedVersion) -> BinaryIO:
        """Keep a version's file from being taken back, until the answer is closed; to be called before opening it.

        Raises:
            FileNotFoundError: the version is no longer there; CURRENT names a newer one.
        """
        path = self.path_of(version)
        file = path.open("rb")
        if not _lock(file, fcntl.LOCK_SH) or not _is_at(file, path):
            file.close()
            raise FileNotFoundError(path)
        return file

    def record(self, version: PublishedVersion) -> dict[str, Any] | None:
        """What a version was made of; None where nothing says so."""
        try:
            record: dict[str, Any] = json.loads(self._record_path(version).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        record["through"] = datetime.fromisoformat(record["through"]) if record["through"] else None
        return record

    def write_record(self, version: PublishedVersion, record: str) -> None:
        """Say in JSON what a version is made of; to be done before anybody is pointed to it."""
        replace_file(self._record_path(version), record)

    def remove(self, version: PublishedVersion) -> None:
        """Delete a version. A reader that still holds its file keeps reading it: it goes when that one lets go."""
        self.path_of(version).unlink(missing_ok=True)
        self._record_path(version).unlink(missing_ok=True)
        self._damage_path(version).unlink(missing_ok=True)

    def _damage_path(self, version: PublishedVersion) -> Path:
        return self.path_of(version).with_suffix(".damaged")

    def _record_path(self, version: PublishedVersion) -> Path:
        return self.path_of(version).with_suffix(".json")


class PublishedFolder(VersionFiles):
    """The published versions of a DuckDB warehouse."""

    def __init__(self, warehouse: Path) -> None:
        super().__init__(warehouse / "published")

    @property
    def kept(self) -> VersionFiles:
        """The versions with which days ended; nobody takes them back before `prune_kept` says so."""
        return VersionFiles(self.root / "kept")

    def keep(self, version: PublishedVersion) -> None:
        """Put a copy of a version among the kept ones: it becomes nothing newer."""
        kept = self.kept
        kept.root.mkdir(parents=True, exist_ok=True)
        for leftover in kept.root.glob("*.tmp"):
            leftover.unlink()
        draft = kept.root / f"{version.version}.duckdb.tmp"
        if not clone_file(self.path_of(version), draft):
            shutil.copyfile(self.path_of(version), draft)
        record = self._record_path(version)
        if record.is_file():
            kept.write_record(version, record.read_text(encoding="utf-8"))
        draft.rename(kept.path_of(version))

    def find(self, version: PublishedVersion) -> VersionFiles | None:
        """Where a version lies now; None where it is not kept any more."""
        places: tuple[VersionFiles, ...] = (self, self.kept)
        return next((place for place in places if place.path_of(version).is_file()), None)

    def current(self) -> PublishedVersion | None:
        """The version readers open now; None before the first one."""
        try:
            name = (self.root / _CURRENT).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        return parse_version(name)

    def point_to(self, version: PublishedVersion) -> None:
        """Let readers open `version` from now on. Its file must be complete and synced."""
        if not self.path_of(version).is_file():
            raise FileNotFoundError(self.path_of(version))
        replace_file(self.root / _CURRENT, version.version + "\n")

    def report_damage(self, version: PublishedVersion) -> None:
        """Tell the publisher, who looks for it, that a version's file cannot be read."""
        with suppress(OSError):  # a reader may not be allowed to write; the publisher looks at files, too
            self._damage_path(version).touch()

    def is_damaged(self, version: PublishedVersion) -> bool:
        """Whether a version's file is gone, or was reported."""
        return not self.path_of(version).is_file() or self._damage_path(version).exists()

    def readable(self) -> PublishedVersion | None:
        """The version that CURRENT names or, where its file is damaged, the newest one before; None without any."""
        current = self.current()
        if current is None or not self.is_damaged(current):
            return current
        older = [one for one in self.versions() if one.version < current.version and not self.is_damaged(one)]
        return older[-1] if older else None

    def discard(self, version: PublishedVersion) -> None:
        """Remove the damaged current version, let readers open what is readable. The caller holds the build lock."""
        older = self.readable()
        if older is not None:
            self.point_to(older)
        else:
            (self.root / _CURRENT).unlink(missing_ok=True)
        self.remove(version)

    def take(self, version: PublishedVersion, draft: Path) -> bool:
        """Take a version's file back as `draft`; false where somebody reads it or locks do not work."""
        path = self.path_of(version)
        with path.open("r+b") as file:
            # the second lock is DuckDB's own: it tells of programs that read the file without `hold`
            if not _lock(file, fcntl.LOCK_EX) or not _is_free_of_others(file):
                return False
            path.rename(draft)
        self._record_path(version).unlink(missing_ok=True)
        return True

    def prune(self, keep: int) -> list[PublishedVersion]:
        """Delete all but the newest `keep` versions and the current one; answers what was deleted.

        A reader that still holds a deleted file keeps reading it: the file goes when its last reader lets go.
        """
        current = self.current()
        doomed = [version for version in self.versions()[:-keep] if version != current]
        for version in doomed:
            self.remove(version)
        return doomed


def clone_file(source: Path, target: Path) -> bool:
    """Make `target` a copy that shares the blocks of `source`; false where the file system cannot."""
    with source.open("rb") as read, target.open("wb") as written:
        try:
            fcntl.ioctl(written, _FICLONE, read.fileno())
        except OSError:
            return False
    return True


def _lock(file: BinaryIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_free_of_others(file: BinaryIO) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the path still leads to the opened file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def replace_file(path: Path, text: str) -> None:
    """Write a small file so that a reader, or a crash, sees the old text or the new one and nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


_VERSION_TABLE = f"{PUBLISHED_SCHEMA}.current_version"
_RECORDS_TABLE = f"{PUBLISHED_SCHEMA}.publications"
_KEPT_TABLE = f"{PUBLISHED_SCHEMA}.kept_versions"


def schema_of(version: PublishedVersion) -> str:
    """PostgreSQL's schema with the marts of a kept version."""
    return f"{PUBLISHED_SCHEMA}_{version.version.lower()}"


def prepare_postgres(connection: psycopg.Connection[Any]) -> None:
    """Create schema `published`, the version's table and that of the records where they are missing."""
    connection.execute(f"create schema if not exists {PUBLISHED_SCHEMA}")
    connection.execute(
        f"create table if not exists {_RECORDS_TABLE} (version text primary key, through timestamptz, "
        "event_count bigint not null, row_counts jsonb not null, manifest_hash text not null, "
        "code_version text not null, raw_version text)"
    )
    connection.execute(f"alter table {_RECORDS_TABLE} add column if not exists parts jsonb not null default '{{}}'")
    connection.execute(f"alter table {_RECORDS_TABLE} add column if not exists checks jsonb not null default '{{}}'")
    connection.execute(f"create table if not exists {_KEPT_TABLE} (version text primary key)")
    connection.execute(
        f"create table if not exists {_VERSION_TABLE} "
        "(only_row boolean primary key default true check (only_row), version text not null)"
    )


def lock_for_swap(connection: psycopg.Connection[Any]) -> None:
    """First statement of the transaction that swaps the marts: waits for readers and holds new ones off till commit."""
    connection.execute(f"lock table {_VERSION_TABLE} in access exclusive mode")


def record_postgres_version(connection: psycopg.Connection[Any], version: PublishedVersion) -> None:
    """Name the version that the running swap transaction publishes."""
    connection.execute(
        f"insert into {_VERSION_TABLE} (version) values (%s) "
        "on conflict (only_row) do update set version = excluded.version",
        (version.version,),
    )


def read_postgres_version(connection: psycopg.Connection[Any]) -> PublishedVersion | None:
    """The current version; until the transaction ends no swap can commit, so all its statements see that version."""
    try:
        row = connection.execute(f"select version from {_VERSION_TABLE}").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return parse_version(row[0]) if row else None


def read_postgres_record(warehouse_url: str) -> dict[str, Any] | None:
    """The newest version's record; None before the first one."""
    with psycopg.connect(warehouse_url, row_factory=dict_row) as connection:
        try:
            return connection.execute(f"select * from {_RECORDS_TABLE} order by version desc limit 1").fetchone()
        except psycopg.errors.UndefinedTable:
            return None


def read_postgres_parts(connection: psycopg.Connection[Any], version: PublishedVersion) -> dict[str, Any] | None:
    """A version's record, as a transaction that reads it needs it; None where nothing says so."""
    found = connection.execute(
        f"select to_jsonb(record) from {_RECORDS_TABLE} as record where version = %s", (version.version,)
    ).fetchone()
    return found[0] if found else None


def read_postgres_kept(connection: psycopg.Connection[Any]) -> list[PublishedVersion]:
    """The versions that have a schema of their own, oldest first."""
    try:
        rows = connection.execute(f"select version from {_KEPT_TABLE} order by version").fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    return [parse_version(row[0]) for row in rows]
