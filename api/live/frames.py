"""What is said on a socket, as JSON. Pure.

hello      stream, sequence: from where on one hears; is_reset: what was before cannot be told, read everything anew
events     after, sequence: all that one may know of between both numbers; `events`
presence   who looks at a conversation or types into it now: `conversation_id`, `people`
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from pydantic_core import to_json

from api.live.records import Event, Standing

People = tuple[tuple[UUID, bool], ...]


def hello(standing: Standing, begins_at: int, *, is_reset: bool) -> bytes:
    """The first frame."""
    return to_json({"kind": "hello", "stream": standing.stream, "sequence": begins_at, "is_reset": is_reset})


class Batch:
    """Events to push, each written once for however many listeners."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self._written = [to_json(asdict(event)) for event in events]
        self._joined: dict[tuple[int, ...], bytes] = {}

    def frame(self, chosen: tuple[int, ...], *, after: int, sequence: int) -> bytes:
        """The frame of those events that a listener is told of, by their places in the batch."""
        body = self._joined.get(chosen)
        if body is None:
            body = self._joined[chosen] = b",".join(self._written[place] for place in chosen)
        return b'{"kind":"events","after":%d,"sequence":%d,"events":[%b]}' % (after, sequence, body)


def presence(conversation_id: UUID, people: People) -> bytes:
    """Who is there now."""
    return to_json(
        {
            "kind": "presence",
            "conversation_id": conversation_id,
            "people": [{"user_id": user_id, "is_typing": is_typing} for user_id, is_typing in people],
        }
    )


def changed(before: Mapping[UUID, People], now: Mapping[UUID, People]) -> dict[UUID, People]:
    """Conversations where somebody came, went, or began or ended to type."""
    return {one: now.get(one, ()) for one in {*before, *now} if before.get(one, ()) != now.get(one, ())}
