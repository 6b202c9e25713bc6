"""Alembic's entry: runs the versions beside it, in one transaction each, waiting little for locks."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from contracts import locks

#: Two processes that migrate one database at once queue up here.

#: A migration that cannot have its lock soon lets go rather than queue every request behind it; api/db/migrate.py tries
#: again. Work that takes long goes in batches that commit, or builds its index concurrently.
_TIMEOUTS = ("set lock_timeout = '1s'", "set statement_timeout = '5s'")


def _run_offline() -> None:
    context.configure(url=context.config.attributes["url"], dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        for statement in _TIMEOUTS:
            context.execute(statement)
        context.run_migrations()


def _run_online() -> None:
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": locks.MIGRATE})
        for statement in _TIMEOUTS:
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
