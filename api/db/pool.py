"""Connections to PostgreSQL: few, kept for a while, each used by one unit of work at a time.

They are made when they are wanted, so what PostgreSQL refuses is an error at once: psycopg's own pool connects in the
background, and whoever waits for it learns of an outage only by waiting in vain.
"""

import asyncio
import time

import psycopg
from psycopg import AsyncConnection

from api.db.pipeline import Connection

_CONNECT_SECONDS, _WAIT_SECONDS = 5, 10
_LIFE_SECONDS = 1800


class PoolTimeout(psycopg.OperationalError):
    """All connections were taken for too long."""


class Pool:
    """At most `size` connections."""

    def __init__(self, url: str, *, size: int = 10, statement_timeout_ms: int = 10_000) -> None:
        self._url = url
        self._options = (
            f"-c timezone=UTC -c statement_timeout={statement_timeout_ms} -c lock_timeout=5000"
            " -c idle_in_transaction_session_timeout=60000"
        )
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._born: dict[Connection, float] = {}

    async def take(self) -> Connection:
        """A connection in no transaction; give it back.

        Raises:
            PoolTimeout: none became free.
            psycopg.OperationalError: PostgreSQL cannot be reached.
        """
        await self._wait_for_slot()
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_lost and time.monotonic() - self._born[connection] < _LIFE_SECONDS:
                    return connection
                await self._forget(connection)
            return await self._connect()
        except BaseException:
            self._slots.release()
            raise

    async def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next one, unless it is broken or still in a transaction."""
        try:
            if connection.is_idle:
                self._idle.append(connection)
                return
            if connection.is_cut_off:  # and so are all others
                await self.close()
            await self._forget(connection)
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._forget(self._idle.pop())

    async def _wait_for_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()  # there is one: nothing to wait for
            return
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError as error:
            raise PoolTimeout("all connections are taken") from error

    async def _connect(self) -> Connection:
        opened = await AsyncConnection.connect(
            self._url,
            autocommit=True,  # transactions begin and end by statements of ours, beside others
            application_name="sluice",
            connect_timeout=_CONNECT_SECONDS,
            options=self._options,
        )
        connection = Connection(opened)
        self._born[connection] = time.monotonic()
        return connection

    async def _forget(self, connection: Connection) -> None:
        self._born.pop(connection, None)
        await connection.close()
