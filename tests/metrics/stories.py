"""Stories of several modules in one warehouse that dbt built: each of an organization of its own, told when it is read.

    _SALES = Told(_tell)      # beside the tests that ask about it

    def test_what_was_sold(ask_built):
        asker, deals = ask_built(_SALES.log), _SALES.by

Whichever test asks first has the stories of all modules built that are there: a build takes much longer than a story.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Generic, TypeVar
from uuid import NAMESPACE_OID, uuid5

from tests.event_history import AnyEvent, EventLog

Teller = TypeVar("Teller")

_LOGS: list[EventLog] = []
_OTHERS: list[AnyEvent] = []


class Told(Generic[Teller]):
    """What a function tells to a log, and what it answers."""

    def __init__(self, tell: Callable[[EventLog], Teller]) -> None:
        self.log = EventLog(uuid5(NAMESPACE_OID, f"{tell.__module__}.{tell.__qualname__}"))
        self.log.organization()
        self.by = tell(self.log)
        _LOGS.append(self.log)


def all_events() -> Iterable[AnyEvent]:
    """Of all stories that were told."""
    return chain((event for log in _LOGS for event in log.events), _OTHERS)


def also(events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """A history of organizations that are no story's, for the same warehouse."""
    _OTHERS.extend(events)
    return events
