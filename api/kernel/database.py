"""The database as rules and records use it: units of work on a pool of connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.db.pool import Pool
from api.kernel.computing import keep_up
from api.kernel.context import Context
from api.kernel.hints import Hints
from api.kernel.unit_of_work import UnitOfWork, entering


class Database:
    """Units of work on one PostgreSQL database."""

    def __init__(
        self, url: str, *, pool_size: int = 10, statement_timeout_ms: int = 10_000, redis_url: str | None = None
    ) -> None:
        self.pool = Pool(url, size=pool_size, statement_timeout_ms=statement_timeout_ms)
        self.hints = Hints(url, redis_url=redis_url)

    @asynccontextmanager
    async def unit(self, context: Context | None) -> AsyncIterator[UnitOfWork]:
        """A unit of work that commits at the end and rolls back on any error.

        Without a context it is in no organization, and tenant tables look empty.
        """
        async with begun(UnitOfWork(self.pool)) as unit:
            if context is not None:
                unit.open_with(entering(context))
            yield unit

    @asynccontextmanager
    async def reading(self, context: Context | None) -> AsyncIterator[UnitOfWork]:
        """The same to read: it writes nothing, and holds no connection between its waits."""
        unit = UnitOfWork(self.pool, is_reading=True)
        if context is not None:
            unit.open_with(entering(context, is_reading=True))
        yield unit

    async def close(self) -> None:
        """Close all connections."""
        await self.hints.close()
        await self.pool.close()


@asynccontextmanager
async def begun(unit: UnitOfWork) -> AsyncIterator[UnitOfWork]:
    """Commit a unit at the end of the block, with what it makes of computed fields, or roll it back."""
    try:
        yield unit
        await keep_up(unit)
        await unit.commit()
    finally:
        await unit.roll_back()  # finds nothing left after a commit
