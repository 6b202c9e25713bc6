"""Events as Kafka tells of them: quick, and sometimes twice, late or not at all. Consumers make sure in the event log.

A feed keeps no offsets. It begins where the outbox says that publishing is, for what was published before can be found
in the event log by then. When the broker lost its data a new epoch begins, and so does the feed.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.database import Database
from api.kernel.hints import EVENTS, Bell
from bus.admin import KafkaAdmin
from bus.consumer import KafkaRecordConsumer
from bus.records import Consumer, Partition, TransportError
from contracts.settings import KafkaSettings
from contracts.topics import EVENT_TOPICS

_log = logging.getLogger(__name__)

_LOOK_AROUND_SECONDS = 5.0
_RETRY_SECONDS = 2.0
_POLL_SECONDS, _GLANCE_SECONDS = 0.5, 0.1
#: After this long without an event it waits for a hint, or asks the broker so seldom.
_AWAKE_SECONDS, _ASLEEP_SECONDS = 2.0, 5.0

_EPOCH = compiled(text("select epoch from transport_epoch order by started_at desc limit 1"))
_PUBLISHED = compiled(
    text("""
select topic, partition, max(next_offset) as next_offset
from (
    select published_topic as topic, published_partition as partition, published_offset + 1 as next_offset
    from outbox where published_epoch = :epoch
    union all
    select topic, partition, next_offset from transport_progress where epoch = :epoch
) p
group by topic, partition
""")
)

Message = dict[str, Any]
#: Opens a consumer and says which partitions there are. Blocking.
Connect = Callable[[KafkaSettings], tuple[Consumer, list[Partition]]]


def connect(settings: KafkaSettings) -> tuple[Consumer, list[Partition]]:
    """A consumer of the real broker."""
    admin = KafkaAdmin(settings)
    try:
        partitions = admin.partitions(EVENT_TOPICS)
    finally:
        admin.close()
    return KafkaRecordConsumer(settings), partitions


@dataclass
class Feed:
    """Reads on its own until it is closed. `is_up`: what is published comes within a moment."""

    database: Database
    connect: Connect = connect
    is_up: bool = False
    _epoch: UUID | None = None
    _consumer: Consumer | None = None
    _retry_at: float = 0.0
    _look_at: float = 0.0
    _awake_until: float = 0.0
    _bell: Bell | None = None
    _settings: KafkaSettings | None = field(default=None)

    async def read(self, stop: threading.Event | None = None) -> list[Message]:
        """What was published since, waiting a moment for it; nothing while there is no broker."""
        try:
            if self._consumer is None and not await self._open():
                return []
            if monotonic() >= self._look_at:
                await self._look_around()
            return await self._poll_when_due(stop)
        except (TransportError, ValidationError) as error:
            _log.warning("Kafka tells nothing for now, the event log does: %s", error)
            await self.close()
            return []

    async def close(self) -> None:
        """Give up the connection."""
        self.is_up, self._retry_at = False, monotonic() + _RETRY_SECONDS
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await asyncio.to_thread(consumer.close)

    async def _open(self) -> bool:
        if monotonic() < self._retry_at:
            return False
        self._retry_at = monotonic() + _RETRY_SECONDS
        async with self.database.unit(None) as unit:
            newest = await unit.fetch(_EPOCH)
            if not newest:
                return False  # nothing was ever published, and asking for topics would make them
            published = await unit.fetch(_PUBLISHED, epoch=newest[0].epoch)
        self._settings = self._settings or KafkaSettings()
        consumer, partitions = await asyncio.to_thread(self.connect, self._settings)
        known = {Partition(row.topic, row.partition): row.next_offset for row in published}
        consumer.assign({place: known.get(place, 0) for place in partitions})
        self._epoch, self._consumer = newest[0].epoch, consumer
        self._look_at, self.is_up = monotonic() + _LOOK_AROUND_SECONDS, True
        return True

    async def _look_around(self) -> None:
        async with self.database.unit(None) as unit:
            [newest] = await unit.fetch(_EPOCH)
        if newest.epoch != self._epoch:
            raise TransportError("another epoch has begun")
        self._look_at = monotonic() + _LOOK_AROUND_SECONDS

    async def _poll_when_due(self, stop: threading.Event | None) -> list[Message]:
        """Ask the broker at once while events come; else after a hint, or a while."""
        self._bell = self._bell or self.database.hints.bell(EVENTS)
        if monotonic() >= self._awake_until and await self._bell.wait(_ASLEEP_SECONDS, stop):
            self._awake_until = monotonic() + _AWAKE_SECONDS
        messages = await self._poll(_POLL_SECONDS if monotonic() < self._awake_until else _GLANCE_SECONDS)
        if messages:
            self._awake_until = monotonic() + _AWAKE_SECONDS
        return messages

    async def _poll(self, seconds: float) -> list[Message]:
        consumer = self._consumer
        if consumer is None:
            return []
        polled = await asyncio.to_thread(consumer.poll, seconds)
        messages: list[Message] = []
        for records in polled.values():
            for record in records:
                with suppress(ValueError):  # the event log has it as it was written
                    message = json.loads(record.value or b"null")
                    if isinstance(message, dict):
                        messages.append(message)
        return messages
