"""Who may rewrite raw, and how the event log is read meanwhile: one rewriter at a time, one snapshot for its reads."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from contracts import locks


class RewriteUnderWayError(RuntimeError):
    """Another rebuild, repair or comparison is at work on the same event log."""


@contextmanager
def sole_rewriter(relay_database_url: str, *, timeout_seconds: int = 600) -> Iterator[None]:
    """Hold the right to rewrite raw, or to compare it: a comparison must not see raw of before and offsets of after.

    Raises:
        RewriteUnderWayError: somebody else has it, for longer than `timeout_seconds`.
    """
    with psycopg.connect(relay_database_url, autocommit=True, application_name="sluice-rewrite") as connection:
        connection.execute("select set_config('lock_timeout', %s, false)", (f"{timeout_seconds}s",))
        try:
            connection.execute("select pg_advisory_lock(%s, 0)", (locks.REWRITE_RAW,))
        except psycopg.errors.LockNotAvailable as error:
            raise RewriteUnderWayError("another rebuild, repair or comparison is at work") from error
        yield


@contextmanager
def open_log(relay_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the event log whose transactions are read-only snapshots, however long the warehouse takes."""
    options = "-c TimeZone=UTC -c idle_in_transaction_session_timeout=0 -c synchronize_seqscans=off"
    with psycopg.connect(relay_database_url, application_name="sluice-rewrite", options=options) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection
