"""One writer of the build at a time: the refresh loop, a run started in Dagster's pages, or a rebuild.

A file lock beside a DuckDB build, an advisory lock in a PostgreSQL warehouse. Both end with their process.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from contracts import locks
from metrics.publication import is_duckdb, warehouse_folder

_POLL_SECONDS = 0.1


class BuildBusyError(RuntimeError):
    """Somebody else writes the build, and did not finish in time."""

    def __init__(self, holder: str, wait_seconds: float) -> None:
        self.holder = holder
        super().__init__(f"The build is being written by {holder or 'another run'}; waited {wait_seconds:g} s.")


@contextmanager
def build_lock(warehouse_url: str, *, holder: str, wait_seconds: float) -> Iterator[None]:
    """Hold the right to write the build. `holder` tells others who has it.

    Raises:
        BuildBusyError: it was not free within `wait_seconds`.
    """
    lock = _file_lock if is_duckdb(warehouse_url) else _advisory_lock
    with lock(warehouse_url, holder, wait_seconds):
        yield


@contextmanager
def _file_lock(warehouse_url: str, holder: str, wait_seconds: float) -> Iterator[None]:
    path = warehouse_folder(warehouse_url) / "build.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:

        def try_lock() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not _wait_for(try_lock, wait_seconds):
            file.seek(0)
            raise BuildBusyError(file.read().strip(), wait_seconds)
        file.truncate(0)
        file.write(f"{holder} (process {os.getpid()})")
        file.flush()
        _adopt_build_of_earlier_release(path.parent)
        yield
        file.truncate(0)


def _adopt_build_of_earlier_release(warehouse: Path) -> None:
    """It lay where everybody opened it."""
    former = warehouse / "build"
    if former.is_dir() and not (warehouse / ".build").exists():
        former.rename(warehouse / ".build")


@contextmanager
def _advisory_lock(warehouse_url: str, holder: str, wait_seconds: float) -> Iterator[None]:
    name = f"sluice build: {holder}"[:63]
    with psycopg.connect(warehouse_url, autocommit=True, application_name=name) as connection:

        def try_lock() -> bool:
            row = connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (locks.BUILD,)).fetchone()
            return bool(row and row[0])

        if not _wait_for(try_lock, wait_seconds):
            raise BuildBusyError(_advisory_holder(connection), wait_seconds)
        try:
            yield
        finally:
            with suppress(psycopg.Error):  # with the connection it would go a moment later
                connection.execute("select pg_advisory_unlock_all()")


def _advisory_holder(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(
        "select application_name from pg_locks join pg_stat_activity using (pid) "
        "where locktype = 'advisory' and granted and application_name like 'sluice build: %'"
    ).fetchone()
    return str(row[0]).removeprefix("sluice build: ") if row else ""


def _wait_for(is_done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
