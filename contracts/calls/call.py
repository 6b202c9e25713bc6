"""One request, and of what type its answer is. Written by hand; all else beside it is generated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote
from uuid import UUID

Answer = TypeVar("Answer", covariant=True)

#: What stands in a query. None is left out.
QueryValue = str | int | float | UUID | Sequence[str] | None


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request of the API: JSON in, and out what `Answer` says (bytes: a file; None: nothing)."""

    method: str
    path: str
    body: object = None
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The query, a name as often as it has values."""
        several = ((name, [one] if isinstance(one, str) else one) for name, one in self.query.items())
        return tuple((name, value) for name, values in several for value in values)


def in_path(value: str | UUID) -> str:
    """A value as a part of a path."""
    return quote(str(value), safe="")


def in_query(**values: QueryValue) -> dict[str, str | list[str]]:
    """The values that are there. A name that Python keeps for itself ends with an underscore."""
    return {name.rstrip("_"): _written(value) for name, value in values.items() if value is not None}


def _written(value: QueryValue) -> str | list[str]:
    if isinstance(value, bool):
        return str(value).lower()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def if_match(version: int | str | None) -> dict[str, str]:
    """The header that names the version which the caller read: a number, or an ETag as it came."""
    if version is None:
        return {}
    return {"If-Match": f'"{version}"' if isinstance(version, int) else version}


def once(key: str | None) -> dict[str, str]:
    """The header by which repeating a POST does it once."""
    return {} if key is None else {"Idempotency-Key": key}
