"""A value over time, as known: nodes ordered by (instant, the order in which they were learned)."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Generic, TypeVar
from uuid import UUID

V = TypeVar("V")


@dataclass(eq=False)
class Node(Generic[V]):
    """The value from `at` on. `is_new`: learned by this import."""

    at: datetime
    number: int
    value: V
    is_new: bool = False
    actor_id: UUID | None = None


@dataclass
class Track(Generic[V]):
    """Never empty: it begins with the creation."""

    _nodes: list[Node[V]] = field(default_factory=list)

    @classmethod
    def of(cls, known: Iterable[tuple[datetime, V]]) -> "Track[V]":
        """A track of known values; those of one instant in the order in which they were learned."""
        nodes = [Node(at, number, value) for number, (at, value) in enumerate(known)]
        return cls(sorted(nodes, key=_place))

    @property
    def last(self) -> Node[V]:
        """The node that holds now."""
        return self._nodes[-1]

    def value_at(self, instant: datetime) -> V | None:
        """The value that held at an instant; None before the first node."""
        place = bisect_right(self._nodes, instant, key=lambda node: node.at)
        return self._nodes[place - 1].value if place else None

    def has(self, instant: datetime, value: V) -> bool:
        """Whether a node says exactly this."""
        place = bisect_right(self._nodes, instant, key=lambda node: node.at)
        while place and self._nodes[place - 1].at == instant:
            if self._nodes[place - 1].value == value:
                return True
            place -= 1
        return False

    def add(self, at: datetime, value: V, *, actor_id: UUID | None = None) -> None:
        """Learn a value, after all that is known of the same instant."""
        insort(self._nodes, Node(at, len(self._nodes), value, is_new=True, actor_id=actor_id), key=_place)

    def steps(self) -> Iterator[tuple[Node[V], Node[V]]]:
        """Each node after the first, with the one before it."""
        return pairwise(self._nodes)


def _place(node: Node[V]) -> tuple[datetime, int]:
    return (node.at, node.number)
