"""What reads published versions of the warehouse: a session sees exactly one, the current one or one that is kept.

Read-only, and nothing else. Each engine has its own module; `metrics.reader` opens the right one.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from contracts.warehouse import Mart, Part
from metrics.compile import Compiled
from metrics.dialect import Dialect
from metrics.errors import UnknownVersionError, VersionGoneError
from metrics.publication import PublishedPart, PublishedVersion, part_in

#: A statement (in DuckDB the few of a session) that takes longer is broken off: nobody waits for its answer any more.
STATEMENT_LIMIT = timedelta(seconds=30)


@dataclass(frozen=True)
class KeptVersion:
    """A version that can be asked by name, with its record; None where it has none."""

    version: PublishedVersion
    record: Mapping[str, Any] | None


class Session(Protocol):
    """Reads one version."""

    @property
    def version(self) -> PublishedVersion:
        """The version that is read."""
        ...

    @property
    def dialect(self) -> Dialect:
        """The engine's spelling."""
        ...

    def part_of(self, mart: Mart) -> PublishedPart:
        """How far the mart's group is, at the mart's speed, in the version that is read."""
        ...

    def fetch(self, statement: Compiled) -> list[tuple[Any, ...]]:
        """Run a statement and answer all its rows."""
        ...


class Reader(Protocol):
    """Gives sessions on the current version. Safe to share between threads."""

    def current(self) -> PublishedVersion:
        """The current version's name.

        Raises:
            WarehouseNotReadyError: nothing is published yet.
        """
        ...

    def session(self) -> AbstractContextManager[Session]:
        """A session on the current version.

        Raises:
            TooExpensiveError: in the session, when a statement takes more time or memory than it may.
            WarehouseNotReadyError: nothing is published yet.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class VersionedReader(Reader, Protocol):
    """A reader that also gives readers of the versions that are kept."""

    def kept(self) -> list[KeptVersion]:
        """The versions that can be asked by name, newest first: the current one and those that ended the last days."""
        ...

    def at(self, version: PublishedVersion, parts: Collection[Part] = ()) -> Reader:
        """A reader of one version, as long as this one lives and that is kept.

        Where it is gone, a later one does in which none of the `parts` that are read had changed since.

        Raises:
            UnknownVersionError: there cannot have been such a version.
            VersionGoneError: it is not kept any more.
        """
        ...


def same_in(kept: Iterable[KeptVersion], version: PublishedVersion, parts: Collection[Part]) -> PublishedVersion:
    """The first kept version that is the asked one, or of which the `parts` are as they were in that."""
    later = sorted((one for one in kept if one.version.version >= version.version), key=lambda one: one.version.version)
    if not later:
        raise UnknownVersionError
    found = later[0]
    changed = [part_in(found.record, part, whole=found.version).version.version for part in parts]
    if found.version != version and (not parts or max(changed) > version.version):
        raise VersionGoneError(GONE)
    return found.version


#: What a reader says of a version that is gone, and of one in which something asked is not.
GONE = "This version of the figures is not kept any more."
LACKS = "This version of the figures does not hold what is asked."
