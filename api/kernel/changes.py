"""What pure rules are given and what they decide.

A rule is given states and an instant, and answers changes or raises; it does no I/O. A state is a frozen dataclass
whose fields are columns of a row. HTTP and import hand the same changes to `api.kernel.writing`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from api.kernel.errors import NotFound, PreconditionFailed
from contracts.events.envelope import Event


class State(Protocol):
    """A row as rules see it."""

    @property
    def id(self) -> UUID:
        """The row's id."""


@dataclass(frozen=True, kw_only=True)
class Versioned:
    """A row whose changes are events: `version` is the number of its newest event."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime


S = TypeVar("S", bound=State)
S_co = TypeVar("S_co", bound=State, covariant=True)
V = TypeVar("V", bound=Versioned)


@dataclass(frozen=True)
class Change(Generic[S_co]):
    """How a row stood (None: it is new), how it stands now, and the event that says so.

    `after` carries the event's version. Without `occurred_at` the event occurred when it is written.
    """

    before: S_co | None
    after: S_co
    event: Event | None = None
    occurred_at: datetime | None = None


def revised(state: V, at: datetime, /, **changed: Any) -> V:  # noqa: ANN401 # as the fields are
    """The next version of a state."""
    return replace(state, version=state.version + 1, updated_at=at, **changed)


def expect(state: S | None, noun: str, *, version: int | None = None) -> S:
    """The state, if there is one and it has the version that the caller knows.

    Raises:
        NotFound, PreconditionFailed: as they say.
    """
    if state is None:
        raise NotFound(noun)
    if version is not None and getattr(state, "version", None) != version:
        raise PreconditionFailed
    return state
