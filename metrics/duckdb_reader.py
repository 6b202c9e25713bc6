"""Reads versions that are DuckDB files: one read-only connection per version, a cursor per session.

A new version is opened when CURRENT names it, and the old one closes with its last session.
"""

import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from contracts.settings import FIGURES_MEMORY_LIMIT
from contracts.warehouse import Mart, Part
from metrics.compile import Compiled
from metrics.dialect import DUCKDB, Dialect
from metrics.errors import TooExpensiveError, VersionGoneError, WarehouseNotReadyError
from metrics.publication import PublishedFolder, PublishedPart, PublishedVersion, VersionFiles, part_in
from metrics.session import GONE, LACKS, STATEMENT_LIMIT, KeptVersion, Reader, same_in

_log = logging.getLogger(__name__)


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
        found = same_in([*self.kept(), *self._in(self._folder)], version, parts)
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
                raise VersionGoneError(LACKS) from error
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
                raise VersionGoneError(GONE) from error
        raise VersionGoneError(GONE)
