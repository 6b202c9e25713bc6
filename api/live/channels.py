"""What this process tells of each organization that somebody here listens to.

A channel waits for PostgreSQL's hint, reads what is new once for all its listeners, asks once who of them may hear of
what, and leaves it with each: a listener's own task sends it. Whoever does not take it fast enough is let go of with a
word; they come back and hear on from the number that they got last.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from api.edge.security import AccessClaims
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.hints import LIVE
from api.kernel.unit_of_work import Row, UnitOfWork
from api.live import frames, records
from api.live.audience import Audience, Member, gather
from api.live.door import Door, Place
from api.live.frames import Batch, People
from api.live.records import Event
from contracts.events.envelope import ActorKind

_log = logging.getLogger(__name__)

#: Sockets of a process; the next one is told to try another process.
MOST_SOCKETS = 4_000
MOST_OF_A_USER = 20
#: What may wait for a listener who reads slowly.
MOST_WAITING_BYTES, MOST_WAITING, _LITTLE = 128 * 1024, 256, 4
#: Who may listen is asked this often where nothing happens; a hint that got lost costs as much.
_LOOK_SECONDS = 5.0
_RETRY_SECONDS = 1.0

BAD_MESSAGE, SIGNED_OUT, SLOW_READER, TOO_MANY, BUSY = 4400, 4401, 4408, 4429, 1013


@dataclass(eq=False)
class Listener:
    """One socket: what it is still to be sent, or why it ends."""

    claims: AccessClaims
    expires_at: datetime
    #: All up to this number was told, or is none of theirs.
    position: int = 0
    #: The number that the last frame named.
    told: int = 0
    ended: asyncio.Future[tuple[int, str]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _waiting: deque[bytes] = field(default_factory=deque)
    _bytes: int = 0
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    def leave(self, frame: bytes) -> None:
        """Have it sent; who has too much waiting already is let go of."""
        is_much = len(self._waiting) >= MOST_WAITING or self._bytes + len(frame) > MOST_WAITING_BYTES
        if self._waiting and is_much:
            self.end(SLOW_READER, "slow_reader")
            return
        self._waiting.append(frame)
        self._bytes += len(frame)
        self._ready.set()

    async def next_frame(self) -> bytes:
        """The oldest that waits."""
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        frame = self._waiting.popleft()
        self._bytes -= len(frame)
        self._ready.set()
        return frame

    async def has_room(self) -> None:
        """Wait until little waits."""
        while len(self._waiting) > _LITTLE:
            self._ready.clear()
            await self._ready.wait()

    def end(self, code: int, reason: str) -> None:
        """Let go of it, with a word."""
        if not self.ended.done():
            self.ended.set_result((code, reason))

    def tell(self, batch: Batch, audience: Audience, member: Member) -> None:
        """Leave what it may hear of, and has not."""
        new = [(place, event) for place, event in enumerate(batch.events) if event.sequence > self.position]
        chosen = tuple(place for place, event in new if audience.hears(member, event))
        self.position = max(self.position, batch.events[-1].sequence)
        if chosen:
            self.leave(batch.frame(chosen, after=self.told, sequence=self.position))
            self.told = self.position


@dataclass(eq=False)
class Channel:
    """The listeners of an organization."""

    database: Database
    organization_id: UUID
    cursor: int
    listeners: set[Listener] = field(default_factory=set)
    _present: dict[UUID, People] = field(default_factory=dict)

    async def run(self) -> None:
        """Tell what is new as long as somebody listens."""
        bell = self.database.hints.bell(f"{LIVE}{self.organization_id}")
        try:
            while self.listeners:
                try:
                    while await self._look():
                        pass
                except (psycopg.Error, OSError) as error:
                    _log.warning("live updates wait for PostgreSQL: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
                await bell.wait(_LOOK_SECONDS)
        finally:
            self.database.hints.forget(bell)

    async def _look(self) -> bool:
        """Tell what is new; whether there may be more."""
        self._end_expired()
        async with reading(self.database, self.organization_id) as unit:
            events = await records.read_after(unit, self.cursor)
            present, assignees = _people(await unit.fetch(records.PRESENCES))
            changes = frames.changed(self._present, present)
            listeners = list(self.listeners)
            with self._moving_to(events):
                audience = await gather(unit, (one.claims for one in listeners), events, owns=bool(changes))
        self._present = present
        batch = Batch(events)
        for listener in listeners:
            member = audience.members.get(listener.claims.session_id)
            if member is None:
                listener.end(SIGNED_OUT, "signed_out")
                continue
            if events:
                listener.tell(batch, audience, member)
            for conversation_id, people in changes.items():
                if member.may_hear_of("conversation", assignees.get(conversation_id, ())):
                    listener.leave(frames.presence(conversation_id, people))
        return len(events) == records.LARGEST_PUSH

    @contextmanager
    def _moving_to(self, events: Sequence[Event]) -> Iterator[None]:
        """Whoever joins meanwhile has heard these events already; where that fails they are told later."""
        before = self.cursor
        self.cursor = events[-1].sequence if events else before
        try:
            yield
        except BaseException:
            self.cursor = before
            raise

    def _end_expired(self) -> None:
        now = datetime.now(UTC)
        for listener in self.listeners:
            if listener.expires_at <= now:
                listener.end(SIGNED_OUT, "token_expired")


class Channels:
    """All of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._channels: dict[UUID, Channel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._entered: set[Listener] = set()
        self._of_users: Counter[tuple[UUID, UUID]] = Counter()
        self.door = Door()

    async def join(self, listener: Listener, place: Place, after: int | None, stream: UUID | None) -> None:
        """Let a listener in who may, tell it what it missed, then what comes. It may be ended by then."""
        organization_id = listener.claims.organization_id
        async with reading(self._database, organization_id) as unit:
            standing = await records.read_standing(unit)
            audience = await gather(unit, [listener.claims], [], owns=False)
        if not audience.members:
            listener.end(SIGNED_OUT, "signed_out")
            return
        if not self._enter(listener):
            return
        place.leave()
        begins_at, is_reset = standing.begins_at(after, stream)
        listener.position = listener.told = begins_at
        listener.leave(frames.hello(standing, begins_at, is_reset=is_reset))
        while not listener.ended.done() and not self._add(listener):
            await self._catch_up(listener)

    def _enter(self, listener: Listener) -> bool:
        """Whether there is room for it; it counts from now on, before it hears anything, until it leaves.

        Only of those who are known to be who they say: a made-up key takes nothing from whom it names.
        """
        whose = (listener.claims.organization_id, listener.claims.user_id)
        if len(self._entered) >= MOST_SOCKETS:
            listener.end(BUSY, "busy")
        elif self._of_users[whose] >= MOST_OF_A_USER:
            listener.end(TOO_MANY, "too_many_sockets")
        elif not listener.ended.done():
            self._entered.add(listener)
            self._of_users[whose] += 1
            return True
        return False

    def leave(self, listener: Listener) -> None:
        """Tell it no more."""
        if listener not in self._entered:
            return
        self._entered.discard(listener)
        whose = (listener.claims.organization_id, listener.claims.user_id)
        self._of_users[whose] -= 1
        if not self._of_users[whose]:
            del self._of_users[whose]
        channel = self._channels.get(listener.claims.organization_id)
        if channel is not None:
            channel.listeners.discard(listener)
            if not channel.listeners:
                del self._channels[channel.organization_id]

    def _add(self, listener: Listener) -> bool:
        """Let it hear what comes, if it has heard all that the channel has told."""
        organization_id = listener.claims.organization_id
        channel = self._channels.get(organization_id)
        if channel is None:
            channel = self._channels[organization_id] = Channel(self._database, organization_id, listener.position)
        elif listener.position < channel.cursor:
            return False
        channel.listeners.add(listener)
        if len(channel.listeners) == 1:
            task = asyncio.create_task(channel.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def _catch_up(self, listener: Listener) -> None:
        async with reading(self._database, listener.claims.organization_id) as unit:
            events = await records.read_after(unit, listener.position)
            audience = await gather(unit, [listener.claims], events, owns=False)
        member = audience.members.get(listener.claims.session_id)
        if member is None:
            listener.end(SIGNED_OUT, "signed_out")
        elif events:
            await listener.has_room()
            listener.tell(Batch(events), audience, member)


def reading(database: Database, organization_id: UUID) -> AbstractAsyncContextManager[UnitOfWork]:
    """A unit that reads in an organization."""
    context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
    return database.reading(context)


def _people(rows: Iterable[Row]) -> tuple[dict[UUID, People], dict[UUID, frozenset[UUID]]]:
    """Who is at which conversation, and who looks after those."""
    present: dict[UUID, People] = {}
    assignees: dict[UUID, frozenset[UUID]] = {}
    for row in rows:
        present[row.conversation_id] = (*present.get(row.conversation_id, ()), (row.user_id, row.is_typing))
        assignees[row.conversation_id] = frozenset({row.assignee_id} - {None})
    return present, assignees
