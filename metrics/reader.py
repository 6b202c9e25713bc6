"""Opens published versions of the warehouse, read-only, and nothing else.

A session sees exactly one version. DuckDB: one read-only connection per version, a cursor per session; a new version
is opened when CURRENT names it, and the old one closes with its last session. PostgreSQL: one transaction, in which
the version's row is locked against the swap.
"""

import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
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
from metrics.errors import TooExpensiveError, WarehouseNotReadyError
from metrics.publication import (
    PublishedFolder,
    PublishedPart,
    PublishedVersion,
    is_duckdb,
    part_in,
    read_postgres_parts,
    read_postgres_version,
    warehouse_folder,
)

_log = logging.getLogger(__name__)

#: A statement (in DuckDB the few of a session) that takes longer is broken off: nobody waits for its answer any more.
STATEMENT_LIMIT = timedelta(seconds=30)


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

    def __init__(self, version: PublishedVersion, folder: PublishedFolder, *, memory_limit: str) -> None:
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

    @contextmanager
    def session(self) -> Iterator[DuckDBSession]:
        """A session on the version that CURRENT names."""
        opened = self._acquire()
        cursor = opened.connection.cursor()
        timer = threading.Timer(STATEMENT_LIMIT.total_seconds(), cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield DuckDBSession(version=opened.version, cursor=cursor, record=opened.record)
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
            timer.cancel()
            cursor.close()
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

    @contextmanager
    def session(self) -> Iterator[PostgresSession]:
        """A session on the version that is current when it starts."""
        try:
            with self._pool.connection() as connection, connection.transaction():
                connection.execute("set transaction read only")
                version = read_postgres_version(connection)
                if version is None:
                    raise WarehouseNotReadyError("No version of the warehouse has been published yet.")
                yield PostgresSession(version=version, connection=connection)
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


def open_reader(warehouse_url: str, *, memory_limit: str = FIGURES_MEMORY_LIMIT) -> Reader:
    """A reader of the warehouse at `duckdb:///folder` or `postgresql://…`, whose server has limits of its own."""
    if is_duckdb(warehouse_url):
        return DuckDBReader(warehouse_folder(warehouse_url), memory_limit=memory_limit)
    return PostgresReader(warehouse_url)
