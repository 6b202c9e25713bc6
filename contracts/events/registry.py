"""Every event type and version that may be written or read: those that the modules of this package define.

A change of meaning is a new version, with an upcaster on its class.
"""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from contracts import events
from contracts.events.envelope import EVENTS, Envelope, Event

__all__ = ["EVENTS", "UnreadableEventError", "parse"]

for _module in pkgutil.iter_modules(events.__path__, "contracts.events."):
    if _module.name != __name__:
        import_module(_module.name)


class UnreadableEventError(ValueError):
    """A message that is no event of ours: says what is wrong with it."""


def parse(message: Mapping[str, Any]) -> Envelope[Event]:
    """Read a stored or received message into its typed envelope, upcast to the newest version.

    Raises:
        UnreadableEventError: unknown type or version, or data that breaks the schema.
    """
    kind, version, data = str(message.get("type")), message.get("version"), message.get("data")
    while isinstance(data, dict) and isinstance(version, int) and (newer := EVENTS.get((kind, version + 1))):
        data, version = newer.upcast(dict(data)), version + 1
    event_class = EVENTS.get((kind, version if isinstance(version, int) else 0))
    if event_class is None:
        raise UnreadableEventError(f"unknown event type {kind!r} version {version!r}")
    try:
        envelope = _envelope_class(event_class).model_validate({**message, "version": version, "data": data})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableEventError(f"{kind} version {version}: {where}: {first['msg']}") from error
    if envelope.aggregate_type != event_class.aggregate_type:
        raise UnreadableEventError(f"{kind}: aggregate_type {envelope.aggregate_type!r} is not its own")
    return envelope


@cache  # pydantic forgets a class that nobody holds, and making one takes longer than reading a hundred messages
def _envelope_class(event_class: type[Event]) -> type[Envelope[Event]]:
    return Envelope[event_class]  # type: ignore[valid-type]  # the class is known at run time only
