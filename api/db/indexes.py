"""Indexes that migrations build and drop while the version before is in use: concurrently, so nobody waits for them.

A build waits for every transaction that began before it, a long report among them, and reads the whole table: it has no
timeouts. One that was interrupted leaves an index that is kept up to date and used by nobody; it is built anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from alembic.config import Config


def timeouts(config: Config | None) -> tuple[str, str]:
    """Statements that set how long a migration waits for a lock, and how long a statement of it may take.

    One that cannot have its lock soon lets go rather than queue every request behind it; `api.db.migrate` tries again.
    It does so before PostgreSQL looks for deadlocks, after a second, and would rather end a request. Work that takes
    long goes in batches that commit, or builds its index concurrently.
    """
    lock_timeout = config.attributes.get("lock_timeout", "300ms") if config else "300ms"
    return f"set lock_timeout = '{lock_timeout}'", "set statement_timeout = '5s'"


def build_index(name: str, definition: str, *, is_unique: bool = False) -> None:
    """Build an index; `definition` is what stands behind `on`."""
    with _taking_time():
        op.execute(f"drop index concurrently if exists {name}")
        kind = "unique index" if is_unique else "index"
        op.execute(f"create {kind} concurrently if not exists {name} on {definition}")


def drop_index(name: str) -> None:
    """Drop an index, if there is one."""
    with _taking_time():
        op.execute(f"drop index concurrently if exists {name}")


@contextmanager
def _taking_time() -> Iterator[None]:
    context = op.get_context()
    with context.autocommit_block():
        op.execute("set lock_timeout = 0")
        op.execute("set statement_timeout = 0")
        yield
        for statement in timeouts(context.config):
            op.execute(statement)
