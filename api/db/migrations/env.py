"""Alembic's entry: runs the versions beside it, in one transaction each, waiting little for locks."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from contracts import locks


def _timeouts() -> tuple[str, str]:
    """A migration that cannot have its lock soon lets go rather than queue every request behind it; api/db/migrate.py
    tries again. It does so before PostgreSQL looks for deadlocks, after a second, and would rather end a request.
    Work that takes long goes in batches that commit, or builds its index concurrently.
    """
    lock_timeout = context.config.attributes.get("lock_timeout", "300ms")
    return f"set lock_timeout = '{lock_timeout}'", "set statement_timeout = '5s'"


def _run_offline() -> None:
    context.configure(url=context.config.attributes["url"], dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        for statement in _timeouts():
            context.execute(statement)
        context.run_migrations()


def _run_online() -> None:
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        # two processes that migrate one database at once queue up here
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": locks.MIGRATE})
        for statement in _timeouts():
            connection.execute(text(statement))
        connection.commit()
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


if context.is_offline_mode():
    _run_offline()
else:
    _run_online()
