"""Lets a constraint speak for itself: a violated foreign key or unique index becomes the problem that a caller sees.

One statement instead of a look-up per reference, and no gap between look and write. Another tenant's id violates a
composite foreign key exactly like an id that never was.
"""

from collections.abc import Callable, Mapping

from api.kernel.errors import CrmError, Unprocessable

Problems = Mapping[str, Callable[[], CrmError]]


class UnknownReference(Unprocessable):
    """A body refers to something that does not exist in the caller's organization."""

    code = "unknown_reference"

    def __init__(self, field: str, noun: str) -> None:
        self.field = field
        super().__init__(f"There is no such {noun}.", pointer=f"/{field}")


def unknown(field: str, noun: str) -> Callable[[], CrmError]:
    """The problem of a reference to nothing, for `UnitOfWork.explain`."""
    return lambda: UnknownReference(field, noun)
