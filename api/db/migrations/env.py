"""Alembic's entry: runs the versions beside it, in one transaction each, waiting little for locks."""

import time

from alembic import context
from sqlalchemy import create_engine, pool, text

from api.db.indexes import timeouts
from contracts import locks


def _run_offline() -> None:
    context.configure(url=context.config.attributes["url"], dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        for statement in timeouts(context.config):
            context.execute(statement)
        context.run_migrations()


def _run_online() -> None:
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        # two processes that migrate one database at once queue up here; in no transaction, for an index that the other
        # one builds concurrently would wait for its end
        while not connection.scalar(text("select pg_try_advisory_lock(:lock)"), {"lock": locks.MIGRATE}):
            connection.commit()
            time.sleep(0.2)
        for statement in timeouts(context.config):
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
