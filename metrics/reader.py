"""Opens published versions of the warehouse, read-only, and nothing else.

A session sees exactly one version: the current one, or one that is kept and asked by its name (`at`). DuckDB: one
read-only connection per version, a cursor per session; a new version is opened when CURRENT names it, and the old one
closes with its last session. PostgreSQL: one transaction, in which the version's row is locked against the swap.
"""

import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from contracts.settings import FIGURES_MEMORY_LIMIT
from contracts.warehouse import Mart, Part
from metrics.compile import Compiled
from metrics.dialect import DUCKDB, POSTGRES, Dialect
from metrics.errors import TooExpensiveError, UnknownVersionError, VersionGoneError, WarehouseNotReadyError
from metrics.publication import (
    PublishedFolder,
    PublishedPart,
    PublishedVersion,
    VersionFiles,
    is_duckdb,
    part_in,
    read_postgres_kept,
    read_postgres_parts,
    read_postgres_version,
    schema_of,
    warehouse_folder,
)

_log = logging.getLogger(__name__)

#: A statement (in DuckDB the few of a session) that takes longer is broken off: nobody waits for its answer any more.
STATEMENT_LIMIT = timedelta(seconds=30)


@dataclass(frozen=True)
class KeptVersion:
    """A version that can be asked by name, with its record; None where it has none."""

    version: PublishedVersion
    record: Mapping[str, Any] | None


class Session(Protocol):
    """Reads one version."""

    @property
    def version(self) -> PublishedVersion:
        """The version that is read."""
        ...

    @property
    def dialect(self) -> Dialect:
        """The engine's spelling."""
        ...

    def part_of(self, mart: Mart) -> PublishedPart:
        """How far the mart's group is, at the mart's speed, in the version that is read."""
        ...

    def fetch(self, statement: Compiled) -> list[tuple[Any, ...]]:
        """Run a statement and answer all its rows."""
        ...


class Reader(Protocol):
    """Gives sessions on the current version. Safe to share between threads."""

    def current(self) -> PublishedVersion:
        """The current version's name.

        Raises:
            WarehouseNotReadyError: nothing is published yet.
        """
        ...

    def session(self) -> AbstractContextManager[Session]:
        """A session on the current version.

        Raises:
            TooExpensiveError: in the session, when a statement takes more time or memory than it may.
            WarehouseNotReadyError: nothing is published yet.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class VersionedReader(Reader, Protocol):
    """A reader that also gives readers of the versions that are kept."""

    def kept(self) -> list[KeptVersion]:
        """The versions that can be asked by name, newest first: the current one and those that ended the last days."""
        ...

    def at(self, version: PublishedVersion, parts: Collection[Part] = ()) -> Reader:
        """A reader of one version, as long as this one lives and that is kept.

        Where it is gone, a later one does in which none of the `parts` that are read had changed since.

        Raises:
            UnknownVersionError: there cannot have been such a version.
            VersionGoneError: it is not kept any more.
        """
        ...


def _same_in(kept: Iterable[KeptVersion], version: PublishedVersion, parts: Collection[Part]) -> PublishedVersion:
    """The first kept version that is the asked one, or of which the `parts` are as they were in that."""
    later = sorted((one for one in kept if one.version.version >= version.version), key=lambda one: one.version.version)
    if not later:
        raise UnknownVersionError
    found = later[0]
    changed = [part_in(found.record, part, whole=found.version).version.version for part in parts]
    if found.version != version and (not parts or max(changed) > version.version):
        raise VersionGoneError(_GONE)
    return found.version


_GONE = "This version of the figures is not kept any more."
_LACKS = "This version of the figures does not hold what is asked."


@dataclass(frozen=True)
class DuckDBSession:
    """Reads through a cursor of its own."""

    version: PublishedVersion
    cursor: duckdb.DuckDBPyConnection
    dialect: Dialect = DUCKDB
    record: Mapping[str, Any] | None = None

    def part_of(self, mart: Mart) -> PublishedPart:
        """How far the mart's group is, at the mart's speed, in the version that is read."""
        return part_in(self.record, Part(mart.group, mart.speed), whole=self.version)

    def fetch(self, statement: Compiled) -> list[tuple[Any, ...]]:
        """Run a statement and answer all its rows."""
        return self.cursor.execute(statement.sql, statement.values).fetchall()


#: A statement can read the opened file and nothing else, and cannot change that. It takes one thread: a process answers
#: many people, and those who wait for a deal should not wait for a funnel.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "lock_configuration": "true",
    "threads": "1",
}


@cache
def _spill_folder() -> Path:
    """Where this process puts what does not fit into memory: a folder that only its user can read, until it ends."""
    folder = tempfile.mkdtemp(prefix="sluice-figures-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class _Opened:
    """A version's connection, and how many sessions use it. Holds the file, so that it stays what it is.

    Raises:
        FileNotFoundError: the version is gone.
    """

    def __init__(self, version: PublishedVersion, folder: VersionFiles, *, memory_limit: str) -> None:
        self.version = version
        self.sessions = 0
        self._hold = folder.hold(version)
        self.record = folder.record(version)
        limits = {
            "memory_limit": memory_limit,
            # not beside the file, which may be read-only; made when it is needed, gone when the connection closes
            "temp_directory": str(_spill_folder() / version.version),
        }
        try:
            self.connection = duckdb.connect(folder.path_of(version), read_only=True, config=_CONFIG | limits)
        except BaseException:
            self._hold.close()
            raise

    def close(self) -> None:
        """Close the file, then let go of it."""
        self.connection.close()
        self._hold.close()


def _is_damage(error: duckdb.Error) -> bool:
    """Whether DuckDB says that a file is not what it wrote; of a wrong checksum it does so by an error of no kind."""
    kinds = (duckdb.IOException, duckdb.SerializationException, duckdb.InternalException, duckdb.FatalException)
    return type(error) is duckdb.Error or isinstance(error, kinds)


#: How often the current version may vanish while it is being opened: each time a whole round of versions was published.
_OPENING_ATTEMPTS = 5


class DuckDBReader:
    """Reads `<folder>/published`. A statement that needs more memory than the limit goes on on disk."""

    def __init__(self, warehouse: Path, *, memory_limit: str = FIGURES_MEMORY_LIMIT) -> None:
        self._folder = PublishedFolder(warehouse)
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def current(self) -> PublishedVersion:
        """The version that CURRENT names; while its file is damaged, the one before."""
        version = self._folder.readable()
        if version is None:
            raise WarehouseNotReadyError("No version of the warehouse has been published yet.")
        return version

    def kept(self) -> list[KeptVersion]:
        """The current version and those of earlier days."""
        current = self.current()
        return [KeptVersion(current, self._folder.record(current)), *self._in(self._folder.kept)]

    def at(self, version: PublishedVersion, parts: Collection[Part] = ()) -> Reader:
        """A reader of one version, which opens its file for each session."""
        found = _same_in([*self.kept(), *self._in(self._folder)], version, parts)
        return _KeptDuckDBReader(self._folder, found, memory_limit=self._memory_limit)

    def _in(self, files: VersionFiles) -> list[KeptVersion]:
        return [KeptVersion(version, files.record(version)) for version in reversed(files.versions())]

    @contextmanager
    def session(self) -> Iterator[DuckDBSession]:
        """A session on the version that CURRENT names."""
        opened = self._acquire()
        try:
            with _limited(opened) as session:
                yield session
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            # a group whose first build fails has no marts, whatever the others have; a definition may be newer
            _log.warning("not published yet: %s", error)
            raise WarehouseNotReadyError("This part of the warehouse has not been published yet.") from error
        except (duckdb.InterruptException, duckdb.OutOfMemoryException) as error:
            raise TooExpensiveError from error
        except duckdb.Error as error:
            if not _is_damage(error):
                raise
            self._report(opened.version, error)
            raise WarehouseNotReadyError("The figures' file is damaged; the version before answers now.") from error
        finally:
            self._release(opened)

    def close(self) -> None:
        """Close the file once the running sessions are done."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None and opened.sessions == 0:
                opened.close()

    def _acquire(self) -> _Opened:
        with self._lock:
            if self._opened is None or self._opened.version != self.current():
                fresh = self._open_current()
                old, self._opened = self._opened, fresh
                if old is not None and old.sessions == 0:
                    old.close()
            self._opened.sessions += 1
            return self._opened

    def _open_current(self) -> _Opened:
        for _ in range(_OPENING_ATTEMPTS):
            version = self.current()
            try:
                return _Opened(version, self._folder, memory_limit=self._memory_limit)
            except FileNotFoundError:  # taken back in this instant
                continue
            except duckdb.Error as error:
                self._report(version, error)
        raise WarehouseNotReadyError("No version of the warehouse can be read.")

    def _report(self, version: PublishedVersion, error: duckdb.Error) -> None:
        _log.error("published version %s is damaged, the one before answers: %s", version.version, error)
        self._folder.report_damage(version)

    def _release(self, opened: _Opened) -> None:
        with self._lock:
            opened.sessions -= 1
            if opened.sessions == 0 and opened is not self._opened:
                opened.close()


@contextmanager
def _limited(opened: _Opened) -> Iterator[DuckDBSession]:
    """A session whose statements are broken off where they take too long."""
    cursor = opened.connection.cursor()
    timer = threading.Timer(STATEMENT_LIMIT.total_seconds(), cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield DuckDBSession(version=opened.version, cursor=cursor, record=opened.record)
    finally:
        timer.cancel()
        cursor.close()


@dataclass(frozen=True)
class _KeptDuckDBReader:
    """Reads one version, wherever it lies; few ask for it, so nothing stays open."""

    folder: PublishedFolder
    version: PublishedVersion
    memory_limit: str

    def current(self) -> PublishedVersion:
        """The version."""
        return self.version

    @contextmanager
    def session(self) -> Iterator[DuckDBSession]:
        """A session on the version."""
        with closing(self._open()) as opened:
            try:
                with _limited(opened) as session:
                    yield session
            except (duckdb.CatalogException, duckdb.BinderException) as error:
                raise VersionGoneError(_LACKS) from error
            except (duckdb.InterruptException, duckdb.OutOfMemoryException) as error:
                raise TooExpensiveError from error

    def close(self) -> None:
        """Nothing is open."""

    def _open(self) -> _Opened:
        for _ in range(_OPENING_ATTEMPTS):  # it may be moved, or be copied, in this instant
            place = self.folder.find(self.version)
            if place is None:
                break
            try:
                return _Opened(self.version, place, memory_limit=self.memory_limit)
            except FileNotFoundError:
                continue
            except duckdb.Error as error:
                _log.exception("kept version %s cannot be read", self.version.version)
                raise VersionGoneError(_GONE) from error
        raise VersionGoneError(_GONE)


@dataclass(frozen=True)
class PostgresSession:
    """Reads inside one transaction."""

    version: PublishedVersion
    connection: psycopg.Connection[Any]
    dialect: Dialect = POSTGRES

    def part_of(self, mart: Mart) -> PublishedPart:
        """How far the mart's group is, at the mart's speed, in the version that is read."""
        record = read_postgres_parts(self.connection, self.version)
        return part_in(record, Part(mart.group, mart.speed), whole=self.version)

    def fetch(self, statement: Compiled) -> list[tuple[Any, ...]]:
        """Run a statement and answer all its rows."""
        # the text is composed from fragments of ours; values are bound
        return self.connection.execute(statement.sql, statement.values).fetchall()


class PostgresReader:
    """Reads schema `published` of a PostgreSQL warehouse."""

    def __init__(self, url: str, *, pool_size: int = 4) -> None:
        milliseconds = int(STATEMENT_LIMIT.total_seconds() * 1000)
        self._pool = ConnectionPool(
            url,
            min_size=0,
            max_size=pool_size,
            timeout=10,
            open=True,
            kwargs={"options": f"-c TimeZone=UTC -c statement_timeout={milliseconds} -c jit=off"},
        )

    def current(self) -> PublishedVersion:
        """The version in `published.current_version`."""
        with self.session() as session:
            return session.version

    def kept(self) -> list[KeptVersion]:
        """The current version and those of earlier days."""
        with self.session() as session:
            versions = [session.version, *reversed(read_postgres_kept(session.connection))]
            return [KeptVersion(one, read_postgres_parts(session.connection, one)) for one in versions]

    def at(self, version: PublishedVersion, parts: Collection[Part] = ()) -> Reader:
        """A reader of one version, which has a schema of its own."""
        return _KeptPostgresReader(self, _same_in(self.kept(), version, parts))

    @contextmanager
    def session(self, kept: PublishedVersion | None = None) -> Iterator[PostgresSession]:
        """A session on the version that is current when it starts, or on a kept one."""
        try:
            with self._pool.connection() as connection, connection.transaction():
                connection.execute("set transaction read only")
                version = read_postgres_version(connection)
                if version is None:
                    raise WarehouseNotReadyError("No version of the warehouse has been published yet.")
                dialect = POSTGRES
                if kept is not None and kept != version:
                    if kept not in read_postgres_kept(connection):
                        raise VersionGoneError(_GONE)
                    version, dialect = kept, replace(POSTGRES, schema=schema_of(kept))
                yield PostgresSession(version=version, connection=connection, dialect=dialect)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            # a group whose first build fails has no marts, whatever the others have; a definition may be newer
            _log.warning("not published yet: %s", error)
            raise WarehouseNotReadyError("This part of the warehouse has not been published yet.") from error
        except PoolTimeout as error:
            raise WarehouseNotReadyError("The warehouse cannot be reached.") from error
        except (psycopg.errors.QueryCanceled, psycopg.errors.InsufficientResources) as error:
            raise TooExpensiveError from error

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


@dataclass(frozen=True)
class _KeptPostgresReader:
    """Reads the schema of one version."""

    whole: PostgresReader
    version: PublishedVersion

    def current(self) -> PublishedVersion:
        """The version."""
        return self.version

    @contextmanager
    def session(self) -> Iterator[PostgresSession]:
        """A session on the version."""
        try:
            with self.whole.session(self.version) as session:
                yield session
        except WarehouseNotReadyError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
                raise VersionGoneError(_LACKS) from error
            raise

    def close(self) -> None:
        """The whole one's connections are used."""


def open_reader(warehouse_url: str, *, memory_limit: str = FIGURES_MEMORY_LIMIT) -> VersionedReader:
    """A reader of the warehouse at `duckdb:///folder` or `postgresql://…`, whose server has limits of its own."""
    if is_duckdb(warehouse_url):
        return DuckDBReader(warehouse_folder(warehouse_url), memory_limit=memory_limit)
    return PostgresReader(warehouse_url)
