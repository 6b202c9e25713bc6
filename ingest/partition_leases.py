"""Which loader reads which partitions, decided by advisory locks of the event log's database.

Loaders count each other and take or give back until all have equally many of each topic; nobody waits for anybody. A
lease ends with its session: at once when the process dies, after `IDLE_SECONDS` when it only stands still. Unlike the
relay's leases (`ingest.leases`) they survive the database: they save double work and prove nothing, because offsets
are compared where rows are committed.
"""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from math import ceil
from time import monotonic
from typing import NamedTuple
from zlib import crc32

import psycopg

logger = logging.getLogger(__name__)

#: A holder that says nothing for so long has lost its leases.
IDLE_SECONDS = 10
_RECONNECT_SECONDS = 3.0
_MAX_MEMBERS = 64

_COUNT_MEMBERS = """
select count(*) from pg_locks
where locktype = 'advisory' and classid = (%s::bigint & 4294967295)::oid and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database())
"""


class Share(NamedTuple):
    """A part of the work. Of each `group` every member gets its part, where numbers allow."""

    group: str
    number: int


class PartitionLeases:
    """The shares of one member. `work` names what is shared: only members of equal `work` know each other.

    Without a database there is nobody to share with, and everything is held. While the database is down, what was
    held last stays held, and a member that never held anything takes everything: the fence decides.
    """

    def __init__(self, url: str | None, *, work: str, idle_seconds: int = IDLE_SECONDS) -> None:
        self._url, self._idle_seconds = url, idle_seconds
        self._work = work
        self._member_class = _signed(crc32(f"{work}/members".encode()))
        self._share_class = _signed(crc32(f"{work}/shares".encode()))
        self._connection: psycopg.Connection | None = None
        self._connect_at = 0.0
        self._looked_at = float("-inf")
        self._has_balanced = False
        self._locked: set[Share] = set()  # in the present session
        self.held: frozenset[Share] = frozenset()
        self.member = 0

    @property
    def is_stale(self) -> bool:
        """Whether the leases may have ended since somebody last looked."""
        return self._url is not None and monotonic() - self._looked_at > self._idle_seconds / 2

    def balance(self, shares: Collection[Share]) -> frozenset[Share]:
        """Confirm, take and give back until this member has its part of `shares`; what it holds now."""
        if self._url is None:
            self.held = frozenset(shares)
            return self.held
        try:
            connection = self._connected()
            if connection is not None:
                self.held = self._balance(connection, sorted(shares))
                self._has_balanced = True
        except psycopg.Error as error:
            logger.warning("cannot confirm the leases of %s: %s", self._work, error)
            self._disconnect()
        if not self._has_balanced:
            self.held = frozenset(shares)
        self._looked_at = monotonic()
        return self.held

    def close(self) -> None:
        """Give everything back."""
        self._disconnect()
        self.held = frozenset()
        self._has_balanced = False
        self._connect_at = 0.0

    def _connected(self) -> psycopg.Connection | None:
        if self._connection is None and monotonic() >= self._connect_at:
            self._connect_at = monotonic() + _RECONNECT_SECONDS
            options = f"-c idle_session_timeout={self._idle_seconds}s -c statement_timeout={self._idle_seconds}s"
            self._connection = psycopg.connect(
                str(self._url), autocommit=True, connect_timeout=2, application_name="sluice-leases", options=options
            )
            self._join(self._connection)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._locked.clear()

    def _join(self, connection: psycopg.Connection) -> None:
        """Take the first free place among the members: it is also the member's name in reports."""
        for number in range(_MAX_MEMBERS):
            if _try_lock(connection, self._member_class, number):
                self.member = number
                return
        raise psycopg.OperationalError(f"{self._work} has {_MAX_MEMBERS} members already")

    def _balance(self, connection: psycopg.Connection, shares: Sequence[Share]) -> frozenset[Share]:
        row = connection.execute(_COUNT_MEMBERS, (self._member_class,)).fetchone()
        members = max(1, row[0] if row else 1)
        most = ceil(len(shares) / members)
        for share in self._locked.difference(shares):
            self._give_back(connection, share)
        # what was held in a session that is over: as much of it as nobody else has taken
        for share in self.held.difference(self._locked).intersection(shares):
            self._take(connection, share)
        for share in _surplus(self._locked, most):
            self._give_back(connection, share)
        sizes = Counter(share.group for share in shares)
        fair = {group: ceil(size / members) for group, size in sizes.items()}
        for limits in (fair, sizes):  # a fair part of each group first, then anything that nobody has
            for share in shares:
                have = Counter(held.group for held in self._locked)
                if have.total() < most and have[share.group] < limits[share.group]:
                    self._take(connection, share)
        return frozenset(self._locked)

    def _take(self, connection: psycopg.Connection, share: Share) -> None:
        if share not in self._locked and _try_lock(connection, self._share_class, _lock_number(share)):
            self._locked.add(share)

    def _give_back(self, connection: psycopg.Connection, share: Share) -> None:
        connection.execute("select pg_advisory_unlock(%s, %s)", (self._share_class, _lock_number(share)))
        self._locked.discard(share)


def _surplus(held: Collection[Share], most: int) -> list[Share]:
    """What to give back to have no more than `most`: each time one of the group of which most is held."""
    kept, surplus = list(held), list[Share]()
    while len(kept) > most:
        counts = Counter(share.group for share in kept)
        given = max(kept, key=lambda share: (counts[share.group], share))
        kept.remove(given)
        surplus.append(given)
    return surplus


def _try_lock(connection: psycopg.Connection, lock_class: int, number: int) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s, %s)", (lock_class, number)).fetchone()
    return bool(row and row[0])


def _lock_number(share: Share) -> int:
    return _signed(crc32(f"{share.group}-{share.number}".encode()))


def _signed(number: int) -> int:
    """Advisory locks are named by two signed integers of 32 bits."""
    return number - 2**32 if number >= 2**31 else number
