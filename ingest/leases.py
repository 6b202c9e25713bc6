"""Who may work on which share (a shard of aggregates, a partition): session advisory locks, spread fairly.

Members count each other and take or give back until all have equally many of each group; nobody waits for anybody. A
lease lives as long as its holder's session. A process that stands still keeps its connection open, so PostgreSQL is
asked to end a session that has been silent for too long (`session_options`): with it go the leases.

`Leases` is that, on a connection that the holder works with, too: whoever loses it has lost the means to write.
`SharedWork` keeps a connection of its own and survives the database: its leases save double work and prove nothing.
"""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from math import ceil
from time import monotonic, sleep
from typing import NamedTuple
from zlib import crc32

import psycopg

logger = logging.getLogger(__name__)

#: A relay that has not spoken to PostgreSQL for this long is taken for dead. Members poll several times a second.
SILENCE_SECONDS = 30.0
#: The same for who shares work without needing PostgreSQL for it.
IDLE_SECONDS = 10
_RECONNECT_SECONDS = 3.0
_MAX_MEMBERS = 64

_COUNT_MEMBERS = """
select count(distinct pid) from pg_locks
where locktype = 'advisory' and classid = (%s::bigint & 4294967295)::oid and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database())
"""


class Share(NamedTuple):
    """A part of the work. Of each `group` every member gets its part, where numbers allow."""

    group: str
    number: int

    @property
    def lock(self) -> int:
        """The second number of its advisory lock: its own where there is one group without a name."""
        return _signed(crc32(f"{self.group}-{self.number}".encode())) if self.group else self.number


def session_options(silence_seconds: float) -> str:
    """Options of a connection whose session PostgreSQL shall end when its client falls silent."""
    milliseconds = int(silence_seconds * 1000)
    return f"-c idle_session_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}"


class Leases:
    """The shares that one connection holds. It must be in autocommit mode, and have `session_options`.

    `share_class` and `member_class` are the first keys of the locks: one per held share, and one per member.
    """

    def __init__(self, connection: psycopg.Connection, *, share_class: int, member_class: int) -> None:
        self._connection, self._share_class, self._member_class = connection, share_class, member_class
        self.held: set[Share] = set()
        self.member = self._join()

    def balance(self, shares: Sequence[Share], *, wanted: Collection[Share] = ()) -> None:
        """Take or give back until this member has its part of `shares`, of those it has not the `wanted` ones first.

        Call it between two pieces of work, never within one.
        """
        row = self._connection.execute(_COUNT_MEMBERS, (self._member_class,)).fetchone()
        members = max(1, row[0] if row else 1)
        most = ceil(len(shares) / members)
        for share in self.held.difference(shares):
            self._give_back(share)
        for share in wanted:
            self._take(share)
        for share in _surplus(self.held, most):
            self._give_back(share)
        sizes = Counter(share.group for share in shares)
        fair = {group: ceil(size / members) for group, size in sizes.items()}
        for limits in (fair, sizes):  # a fair part of each group first, then anything that nobody has
            for share in shares:
                have = Counter(held.group for held in self.held)
                if have.total() < most and have[share.group] < limits[share.group]:
                    self._take(share)

    def _join(self) -> int:
        """Take the first free place among the members."""
        for number in range(_MAX_MEMBERS):
            if self._try_lock(self._member_class, number):
                return number
        raise psycopg.OperationalError(f"there are {_MAX_MEMBERS} members already")

    def _take(self, share: Share) -> None:
        if share not in self.held and self._try_lock(self._share_class, share.lock):
            self.held.add(share)

    def _give_back(self, share: Share) -> None:
        self._connection.execute("select pg_advisory_unlock(%s, %s)", (self._share_class, share.lock))
        self.held.discard(share)

    def _try_lock(self, lock_class: int, number: int) -> bool:
        row = self._connection.execute("select pg_try_advisory_lock(%s, %s)", (lock_class, number)).fetchone()
        return bool(row and row[0])


class SharedWork:
    """The shares of one member. `work` names what is shared: only members of equal `work` know each other.

    Without a database there is nobody to share with, and everything is held. While the database is down, what was
    held last stays held, and a member that never held anything takes everything.
    """

    def __init__(self, url: str | None, *, work: str, idle_seconds: int = IDLE_SECONDS) -> None:
        self._url, self._work, self._idle_seconds = url, work, idle_seconds
        self._connection: psycopg.Connection | None = None
        self._leases: Leases | None = None
        self._connect_at, self._looked_at = 0.0, float("-inf")
        self._has_balanced = False
        self.held: frozenset[Share] = frozenset()
        self.member = 0  # also the member's name in reports

    @property
    def is_stale(self) -> bool:
        """Whether the leases may have ended since somebody last looked."""
        return self._url is not None and monotonic() - self._looked_at > self._idle_seconds / 2

    @property
    def silence_seconds(self) -> float:
        """How long a member may say nothing, with a good margin before its leases end."""
        return self._idle_seconds / 8

    def balance(self, shares: Collection[Share]) -> frozenset[Share]:
        """Confirm, take and give back until this member has its part of `shares`; what it holds now."""
        try:
            if self._url is not None and (leases := self._joined(self._url)) is not None:
                # what was held in a session that is over: as much of it as nobody else has taken
                leases.balance(sorted(shares), wanted=self.held.intersection(shares))
                self.held, self._has_balanced = frozenset(leases.held), True
        except psycopg.Error as error:
            logger.warning("cannot confirm the leases of %s: %s", self._work, error)
            self._disconnect()
        if not self._has_balanced:
            self.held = frozenset(shares)
        self._looked_at = monotonic()
        return self.held

    def wait_for_events(self, seconds: float) -> bool:
        """Wait for PostgreSQL's notice that events were committed, or for `seconds`; whether there was one.

        A hint for who waits for what becomes of them. Without a database there is none.
        """
        if self._connection is None:
            sleep(seconds)
            return False
        try:
            # all that came: each one left behind would be another wait's, long after its events
            return bool(list(self._connection.notifies(timeout=seconds, stop_after=1)))
        except psycopg.Error:
            self._disconnect()
            return False

    def close(self) -> None:
        """Give everything back."""
        self._disconnect()
        self.held, self._has_balanced, self._connect_at = frozenset(), False, 0.0

    def _joined(self, url: str) -> Leases | None:
        if self._leases is None and monotonic() >= self._connect_at:
            self._connect_at = monotonic() + _RECONNECT_SECONDS
            options = f"{session_options(self._idle_seconds)} -c statement_timeout={self._idle_seconds}s"
            self._connection = psycopg.connect(
                url, autocommit=True, connect_timeout=2, application_name="sluice-leases", options=options
            )
            self._connection.execute("listen sluice_events")
            share_class, member_class = (_signed(crc32(f"{self._work}/{of}".encode())) for of in ("shares", "members"))
            self._leases = Leases(self._connection, share_class=share_class, member_class=member_class)
            self.member = self._leases.member
        return self._leases

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._leases = None


def _surplus(held: Collection[Share], most: int) -> list[Share]:
    """What to give back to have no more than `most`: each time one of the group of which most is held."""
    kept, surplus = list(held), list[Share]()
    while len(kept) > most:
        counts = Counter(share.group for share in kept)
        surplus.append(max(kept, key=lambda share: (counts[share.group], share)))
        kept.remove(surplus[-1])
    return surplus


def _signed(number: int) -> int:
    """Advisory locks are named by two signed integers of 32 bits."""
    return number - 2**32 if number >= 2**31 else number
