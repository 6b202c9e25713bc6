"""Statements sent together, and one wait for all their answers: libpq's pipeline mode, as `psycopg.pq` gives it to us.

psycopg's own pipeline serves any use of a cursor, and takes a lock and a turn of its own for each statement: more than
half of what a request cost the API. Here each statement is prepared once, under a name, and values are text.
"""

import asyncio
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.types.json import set_json_loads
from pydantic_core import from_json

from api.db.statements import Bound, Statement
from api.db.values import encoded

#: One row of an answer: a named tuple of its columns. What they are is the statement's affair.
Row = Any
RowMaker = Callable[[Sequence[Any]], Row]

_CANCEL_SECONDS = 2

#: Between statements of one `send`: outside of a transaction those before it are one, which is committed here.
APART = Statement("", (), {}, is_prepared=False).bind()


class PlanOutdated(psycopg.OperationalError):
    """A migration changed the type of an answer; asked again, the statement is prepared anew."""


class Connection:
    """A connection to PostgreSQL, and the statements that it has prepared."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._psycopg, self._pgconn = connection, connection.pgconn
        set_json_loads(from_json, connection)
        self._transformer = Transformer(connection)
        self._prepared: dict[Statement, bytes] = {}
        self._makers: dict[Statement, RowMaker] = {}
        self._names = 0
        #: Whether the server ended the session, not we.
        self.is_cut_off = False
        #: Whether all of the statements that were sent last are with the server.
        self.is_handed_over = True

    @property
    def is_idle(self) -> bool:
        """Whether it is open and in no transaction, for whoever comes next."""
        pgconn = self._pgconn
        return (
            pgconn.transaction_status == pq.TransactionStatus.IDLE
            and pgconn.pipeline_status == pq.PipelineStatus.OFF
            and not self.is_lost
        )

    @property
    def is_lost(self) -> bool:
        """Whether it is closed, by us or by the server."""
        return self._pgconn.status != pq.ConnStatus.OK

    async def close(self) -> None:
        """End the session, and with it all that it holds."""
        await self._psycopg.close()

    async def send(self, statements: Sequence[Bound], *, implied: Mapping[str, object]) -> list[list[Row]]:
        """Send statements together, wait once, and answer the rows of each; the first that fails ends all of them.

        Outside of a transaction they are one, or two where `APART` stands between them. Whoever is cancelled meanwhile
        loses the connection.
        """
        sent = [
            (bound.statement, [encoded(value) for value in bound.statement.arguments(bound.values, implied)])
            for bound in statements
        ]
        self._pgconn.enter_pipeline_mode()
        self.is_handed_over = False
        try:
            new = self._send(sent)
            results = await self._results(parts=1 + statements.count(APART))
        except BaseException as error:
            self.is_cut_off = isinstance(error, psycopg.OperationalError)
            await self._abandon()
            raise
        self._pgconn.exit_pipeline_mode()
        return self._answers(sent, new, results)

    def _send(self, sent: Sequence[tuple[Statement, list[bytes | None]]]) -> dict[Statement, bytes]:
        """Hand all to libpq; answers the names of statements that are prepared along with it."""
        pgconn, new = self._pgconn, dict[Statement, bytes]()
        for statement, values in sent:
            if statement is APART.statement:
                pgconn.pipeline_sync()
                continue
            if not statement.is_prepared:
                pgconn.send_query_params(statement.sql, values)
                continue
            name = self._prepared.get(statement) or new.get(statement)
            if name is None:
                self._names += 1
                name = new[statement] = b"s%d" % self._names
                pgconn.send_prepare(name, statement.sql)
            pgconn.send_query_prepared(name, values)
        pgconn.pipeline_sync()
        return new

    async def _results(self, *, parts: int) -> list[pq.abc.PGresult]:
        """One result for each thing sent, in so many parts."""
        pgconn, results = self._pgconn, list[pq.abc.PGresult]()
        while pgconn.flush():
            await self._wait(is_writing=True)
            pgconn.consume_input()
        self.is_handed_over = True
        while True:
            while pgconn.is_busy():
                await self._wait()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:  # between two
                if self.is_lost:
                    raise psycopg.OperationalError("the connection is lost")
            elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                parts -= 1
                if parts == 0:
                    return results
            else:
                results.append(result)

    async def _wait(self, *, is_writing: bool = False) -> None:
        loop, socket = asyncio.get_running_loop(), self._pgconn.socket
        ready = loop.create_future()
        loop.add_reader(socket, _tell, ready)
        if is_writing:
            loop.add_writer(socket, _tell, ready)
        try:
            await ready
        finally:
            loop.remove_reader(socket)
            if is_writing:
                loop.remove_writer(socket)

    async def _abandon(self) -> None:
        """Let the server stop what nobody waits for any more, and its locks go."""
        with suppress(psycopg.Error, OSError):
            await self._psycopg.cancel_safe(timeout=_CANCEL_SECONDS)
        await self.close()

    def _answers(
        self,
        sent: Sequence[tuple[Statement, Sequence[bytes | None]]],
        new: dict[Statement, bytes],
        results: Sequence[pq.abc.PGresult],
    ) -> list[list[Row]]:
        answers, remaining = list[list[Row]](), iter(results)
        for statement, _ in sent:
            if statement is APART.statement:
                answers.append([])
                continue
            if statement in new:
                self._require_success(next(remaining))
                self._prepared[statement] = new.pop(statement)
            result = next(remaining)
            self._require_success(result)
            answers.append(self._rows(statement, result) if result.status == pq.ExecStatus.TUPLES_OK else [])
        return answers

    def _require_success(self, result: pq.abc.PGresult) -> None:
        if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            return
        error = error_from_result(result)
        if isinstance(error, psycopg.errors.FeatureNotSupported) and "cached plan" in str(error):
            self._prepared.clear()
            raise PlanOutdated(str(error)) from error
        raise error

    def _rows(self, statement: Statement, result: pq.abc.PGresult) -> list[Row]:
        self._transformer.set_pgresult(result)
        maker = self._makers.get(statement)
        if maker is None or not statement.is_prepared:
            maker = self._makers[statement] = _row_maker(result)
        return self._transformer.load_rows(0, result.ntuples, maker)


def _tell(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _row_maker(result: pq.abc.PGresult) -> RowMaker:
    names = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
    row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # columns are known late
    maker: RowMaker = row._make
    return maker
