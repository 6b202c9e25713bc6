"""The unit of work: one transaction of one organization, in as few waits for PostgreSQL as can be.

Reading waits; writing does not: what is inserted, updated, executed and emitted is queued, and goes with the next fetch
or with COMMIT, in the order in which it was asked for, events last. Whoever opened the unit commits it, once.

    [deal], [stage] = await unit.fetch_all(DEAL.bind(id=deal_id), STAGE.bind(id=stage_id))
    unit.update(Deal, {"id": deal.id, "stage_id": stage.id, "version": deal.version + 1})
    unit.emit(DealStageChanged(…), aggregate_id=deal.id, aggregate_version=deal.version + 1)

A unit that only reads holds a connection while it waits, and none in between.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from uuid import UUID

import psycopg
from pydantic_core import to_json
from sqlalchemy import Table, text
from uuid_utils.compat import uuid7

from api.db.pipeline import APART, Connection, Row
from api.db.pool import Pool
from api.db.statements import Bound, Statement, compiled, insert_many, insert_one, update_many, update_one
from api.kernel.constraints import Problems
from api.kernel.context import Context
from api.kernel.errors import CrmError, PreconditionFailed
from api.models.base import Base
from api.models.event_log import EventLogRow
from contracts.events.envelope import ActorKind, Event

__all__ = ["Bound", "Opening", "Row", "UnitOfWork", "Values"]

Values = Mapping[str, object]

#: Rows of one statement in bulk: enough to be worth it, few enough for the parser.
_CHUNK = 2_000

_BEGIN = compiled(text("begin")).bind()
_COMMIT = compiled(text("commit")).bind()
_ROLLBACK = compiled(text("rollback")).bind()
_PART = compiled(text("savepoint part")).bind()
_UNDO_PART = compiled(text("rollback to savepoint part")).bind()
_END_PART = compiled(text("release savepoint part")).bind()
_CLOCK = compiled(
    text("select clock_timestamp() as now, exists (select from custom_fields where type = 'computed') as computes")
).bind()
_ENTER = compiled(text("select set_config('sluice.organization_id', :organization_id, true)"))
_READ_ON = compiled(
    text(
        "select set_config('sluice.organization_id', :organization_id, true) as organization_id,"
        " set_config('transaction_read_only', 'on', true) as read_only"
    )
)

#: Two writers who saw the same version: the row was not locked when it was read.
_LOST_UPDATE: Problems = {"uq_event_log_aggregate_version": PreconditionFailed}


@dataclass(frozen=True)
class Opening:
    """How a unit enters its organization: statements, and who their answers let in.

    `admit` gets the rows of each statement and answers the context, or raises what the caller is told.
    """

    organization_id: UUID
    statements: Sequence[Bound]
    admit: Callable[[Sequence[list[Row]]], Context]
    #: Statements of a transaction of their own, which stays whatever becomes of this one; their rows come first.
    before: Sequence[Bound] = ()


def entering(context: Context, *, is_reading: bool = False) -> Opening:
    """The opening of a unit whose context is known: a job's, not a stranger's."""
    statement = _READ_ON if is_reading else _ENTER
    return Opening(context.organization_id, (statement.bind(),), lambda _: context)


class UnitOfWork:
    """One transaction. Not for use by several tasks at once."""

    def __init__(self, pool: Pool, *, is_reading: bool = False) -> None:
        self._pool, self._is_reading = pool, is_reading
        self._connection: Connection | None = None
        self._opening: Opening | None = None
        self._context: Context | None = None
        self._now: datetime | None = None
        self._computes = False
        self._touched: dict[str, set[UUID]] = {}
        self._queue: list[Bound] = []
        self._events: list[dict[str, object]] = []
        self._problems: dict[str, Callable[[], CrmError]] = dict(_LOST_UPDATE)
        self._implied: dict[str, object] = {}
        self._ahead: asyncio.Task[list[list[Row]]] | None = None

    @property
    def is_reading(self) -> bool:
        """Whether it only reads."""
        return self._is_reading

    @property
    def context(self) -> Context:
        """Who does this, and where."""
        if self._context is None:
            raise RuntimeError("this unit of work has entered no organization")
        return self._context

    @property
    def now(self) -> datetime:
        """PostgreSQL's clock, read after the newest fetch and so after its locks. Only units that write have it."""
        if self._now is None:
            raise RuntimeError("a unit of work knows the time once it has fetched something to write")
        return self._now

    @property
    def computes(self) -> bool:
        """Whether the organization has computed fields, as far as the newest fetch to write knew."""
        return self._computes

    @property
    def touched(self) -> Mapping[str, Set[UUID]]:
        """The aggregates that its events are of, by their type."""
        return self._touched

    def open_with(self, opening: Opening) -> None:
        """Enter an organization with the first wait, or now by `begin`."""
        self._opening = opening
        self._implied = {"organization_id": opening.organization_id}

    def act_as(self, actor: ActorKind, actor_id: UUID, *, causation_id: UUID | None = None) -> None:
        """Let events from now on be somebody else's: of several rules that one event fires, each acts for itself."""
        causation_id = causation_id or self.context.causation_id
        self._context = replace(self.context, actor=actor, actor_id=actor_id, causation_id=causation_id)

    async def begin(self) -> None:
        """Enter the organization, if that has not happened yet."""
        if self._opening is not None:
            await self._wait(())

    async def fetch(self, query: Statement, /, **values: object) -> list[Row]:
        """Rows of one statement, in one wait. `organization_id` is implied."""
        [rows] = await self._wait((Bound(query, values),))
        return rows

    async def fetch_all(self, *queries: Bound) -> list[list[Row]]:
        """Rows of several statements, in one wait; none for a statement that answers none."""
        return await self._wait(queries)

    def execute(self, query: Statement, /, **values: object) -> None:
        """Queue a statement whose answer is of no interest."""
        self._queue.append(Bound(query, values))

    def insert(self, model: type[Base], *rows: Values) -> None:
        """Queue new rows. `organization_id` is implied."""
        self._queue += _writes(_table(model), rows, self._implied, one=insert_one, many=insert_many)

    def update(self, model: type[Base], *rows: Values) -> None:
        """Queue changes of rows: each has its `id` and the columns that change. The caller has locked them."""
        table = _table(model)
        if "updated_at" in table.c:
            rows = tuple({"updated_at": self.now, **row} for row in rows)
        self._queue += _writes(table, rows, self._implied, one=update_one, many=update_many)

    def emit(
        self,
        event: Event,
        *,
        aggregate_id: UUID,
        aggregate_version: int,
        occurred_at: datetime | None = None,
        actor_id: UUID | None = None,
    ) -> UUID:
        """Queue an event of a row that is locked or new, and answer its id.

        It occurred now unless said otherwise, and is the context's unless `actor_id` names the user who did it.
        """
        event_id = uuid7()
        self._touched.setdefault(event.aggregate_type, set()).add(aggregate_id)
        self._events.append(
            {
                "event_id": event_id,
                "type": event.type,
                "version": event.version,
                "aggregate_type": event.aggregate_type,
                "aggregate_id": aggregate_id,
                "aggregate_version": aggregate_version,
                "occurred_at": occurred_at or self.now,
                "actor": self.context.actor if actor_id is None else ActorKind.USER,
                "actor_id": self.context.actor_id if actor_id is None else actor_id,
                "causation_id": self.context.causation_id,
                "correlation_id": self.context.correlation_id,
                "depth": self.context.depth,
                "data": event,
            }
        )
        return event_id

    def explain(self, problems: Problems) -> None:
        """Say what a violated constraint means; others pass through. The transaction is lost either way."""
        self._problems |= problems

    async def send(self) -> None:
        """Send what is queued, without committing it: constraints speak now."""
        await self._wait(())

    async def send_ahead(self) -> None:
        """Have PostgreSQL work on what is queued while the caller goes on; the next wait, of any kind, is for that too.

        In bulk, by a unit that has fetched something. What is refused is raised by that next wait.
        """
        await self._caught_up()
        self._ahead = asyncio.create_task(self._sent_and_answered(()))
        await asyncio.sleep(0)
        connection = self._connection
        while not (self._ahead.done() or (connection is not None and connection.is_handed_over)):  # noqa: ASYNC110
            await asyncio.sleep(0)  # a turn of the loop or two, in which the socket takes it

    async def _caught_up(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead

    @asynccontextmanager
    async def part(self) -> AsyncIterator[None]:
        """A part that is sent by its end, and undone alone where it is refused. Parts hold no parts."""
        self._queue = [*self._take_queue(), _PART]
        try:
            yield
            await self.send()
        except CrmError:
            self._events = []
            # refused before anything was sent, it has begun nowhere but here
            unsent = _PART in self._queue
            self._queue = self._queue[: self._queue.index(_PART)] if unsent else [_UNDO_PART, _END_PART]
            raise
        self._queue.append(_END_PART)

    async def commit(self) -> None:
        """Send what is queued, and commit. A unit that only reads has nothing to commit."""
        if self._is_reading:
            return
        await self.begin()
        if self._connection is not None or self._queue or self._events:
            await self._wait((), then_commit=True)
            await self._release()

    async def roll_back(self) -> None:
        """Undo what was done, if anything was."""
        self._queue, self._events = [], []
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()  # and with it the connection, if that is still at work
            await asyncio.gather(ahead, return_exceptions=True)
        if self._connection is not None:
            if not (self._connection.is_idle or self._connection.is_lost):
                with suppress(psycopg.Error):  # what is lost meanwhile rolls back by itself
                    await self._connection.send([_ROLLBACK], implied={})
            await self._release()

    async def _wait(self, queries: Sequence[Bound], *, then_commit: bool = False) -> list[list[Row]]:
        """Send what is queued and `queries`, and wait for all of it."""
        await self._caught_up()
        return await self._sent_and_answered(queries, then_commit=then_commit)

    async def _sent_and_answered(self, queries: Sequence[Bound], *, then_commit: bool = False) -> list[list[Row]]:
        opening, self._opening = self._opening, None
        before = self._way_in(opening)
        first = len(before)
        before += self._take_queue()
        after = [_COMMIT] if then_commit else [] if self._is_reading else [_CLOCK]
        answers = await self._answers([*before, *queries, *after])
        if opening is not None:
            toll = answers[: len(opening.before)]
            self._context = opening.admit([*toll, *answers[first - len(opening.statements) : first]])
        if after == [_CLOCK]:
            self._now, self._computes = answers[-1][0].now, answers[-1][0].computes
        return answers[len(before) : len(before) + len(queries)]

    def _way_in(self, opening: Opening | None) -> list[Bound]:
        toll = [*opening.before, APART] if opening and opening.before else []
        if self._is_reading:
            # each wait is a transaction of its own: it shows what is committed, as statements of one would
            return [*toll, *opening.statements] if opening else [_READ_ON.bind()] if self._implied else []
        begin = [_BEGIN] if self._connection is None else []
        return [*toll, *begin, *(opening.statements if opening else ())]

    def _take_queue(self) -> list[Bound]:
        queue, self._queue = self._queue, []
        if not self._events:
            return queue
        events, self._events = self._events, []
        recorded_at = self.context.recorded_at or self.now
        rows = [{**event, "recorded_at": recorded_at} for event in events]
        return queue + _writes(_table(EventLogRow), rows, self._implied, one=insert_one, many=insert_many)

    async def _answers(self, statements: Sequence[Bound]) -> list[list[Row]]:
        connection = self._connection or await self._pool.take()
        if not self._is_reading:
            self._connection = connection
        try:
            return await connection.send(statements, implied=self._implied)
        except psycopg.IntegrityError as error:
            explain = self._problems.get(error.diag.constraint_name or "")
            if explain is None:
                raise
            problem = explain()
            raise problem from error
        finally:
            if self._is_reading:
                await self._pool.give_back(connection)

    async def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.give_back(connection)


def _table(model: type[Base]) -> Table:
    return Base.metadata.tables[model.__tablename__]


def _writes(
    table: Table,
    rows: Sequence[Values],
    implied: Values,
    *,
    one: Callable[[Table, tuple[str, ...]], Statement],
    many: Callable[[Table, tuple[str, ...]], Statement],
) -> list[Bound]:
    """Statements that write rows, in order; neighbours with the same columns share one."""
    full = ({**implied, **row} for row in rows)
    alike = ((columns, list(group)) for columns, group in groupby(full, key=tuple))
    return [bound for columns, group in alike for bound in _write(table, columns, group, one=one, many=many)]


def _write(
    table: Table,
    columns: tuple[str, ...],
    rows: list[dict[str, object]],
    *,
    one: Callable[[Table, tuple[str, ...]], Statement],
    many: Callable[[Table, tuple[str, ...]], Statement],
) -> list[Bound]:
    if len(rows) == 1:
        return [one(table, columns).bind(**rows[0])]
    chunks = (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
    return [many(table, columns).bind(rows=to_json(chunk).decode()) for chunk in chunks]
