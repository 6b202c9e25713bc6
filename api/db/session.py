"""Sessions and transactions. Whoever opens a transaction here also commits it; nothing else in the API commits.

The organization lives in a transaction-local setting: it ends with the transaction, so a pooled connection carries
nothing from one request to the next.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from api.db.urls import sqlalchemy_url

_SET_ORGANIZATION = text("select set_config('sluice.organization_id', :organization_id, true)")
_SET_ORGANIZATION_TO_READ = text(f"{_SET_ORGANIZATION.text}, set_config('transaction_read_only', 'on', true)")
_BECOME_AUTH = text("set local role sluice_auth")
_BECOME_APP = text("set local role sluice_app")


class SessionDatabase:
    """A pool of connections and the transactions on them."""

    def __init__(self, url: str, *, pool_size: int = 10, statement_timeout_ms: int = 10_000) -> None:
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=False,
            pool_recycle=1800,
            connect_args={
                "application_name": "sluice",
                "connect_timeout": 5,
                "options": f"-c timezone=UTC -c statement_timeout={statement_timeout_ms} -c lock_timeout=5000"
                " -c idle_in_transaction_session_timeout=60000",
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self, organization_id: UUID | None = None) -> AsyncIterator[AsyncSession]:
        """One transaction: commits at the end, rolls back on any error.

        Takes a connection with the first statement. Without an organization, tenant tables look empty.
        """
        async with self._sessions() as session:
            if organization_id is not None:
                await enter_organization(session, organization_id)
            yield session
            await session.commit()

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def enter_organization(session: AsyncSession, organization_id: UUID) -> None:
    """See and write this organization's rows until the transaction ends."""
    await session.execute(_SET_ORGANIZATION, {"organization_id": str(organization_id)})


@asynccontextmanager
async def between_transactions(session: AsyncSession, organization_id: UUID) -> AsyncIterator[None]:
    """End a transaction that has only read, and begin another such one after the block.

    What takes long in between keeps no connection from others.
    """
    await session.rollback()
    try:
        yield
    finally:
        await session.execute(_SET_ORGANIZATION_TO_READ, {"organization_id": str(organization_id)})


@asynccontextmanager
async def across_organizations(session: AsyncSession) -> AsyncIterator[None]:
    """See people and memberships of all organizations. For sign-up, sign-in and making users; for nothing else."""
    await session.flush()
    await session.execute(_BECOME_AUTH)
    yield
    await session.flush()
    # on an error the transaction is lost anyway, and with it the role
    await session.execute(_BECOME_APP)
