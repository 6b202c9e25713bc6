"""Who may work on which slot (a shard of aggregates, a partition): session advisory locks, shared fairly.

A lease lives as long as its holder's session. A process that was stopped keeps its connection open, so PostgreSQL is
asked to end a session that has been silent for too long (`session_options`): with it go the leases and the means to
write.
"""

from math import ceil

import psycopg

#: A member that has not spoken to PostgreSQL for this long is taken for dead. Members poll several times a second.
SILENCE_SECONDS = 30.0

_COUNT = """
select count(distinct pid) from pg_locks
where locktype = 'advisory' and classid = %s and objid = 0 and granted
    and database = (select oid from pg_database where datname = current_database())
"""


def session_options(silence_seconds: float) -> str:
    """Options of a connection whose session PostgreSQL shall end when its client falls silent."""
    milliseconds = int(silence_seconds * 1000)
    return f"-c idle_session_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}"


class Leases:
    """The slots that one connection holds, out of `slots` that all members share.

    `lock_class` and `member_class` are the first keys of the advisory locks: one per held slot, and one, shared, per
    member. The connection must be in autocommit mode, and have `session_options`.
    """

    def __init__(self, connection: psycopg.Connection, *, lock_class: int, member_class: int, slots: int) -> None:
        self._connection, self._lock_class, self._member_class = connection, lock_class, member_class
        self._slots = slots
        self.held: set[int] = set()
        connection.execute("select pg_advisory_lock_shared(%s, 0)", (member_class,))

    def balance(self) -> bool:
        """Take or give back slots so that all living members have equally many; whether anything changed.

        Call it between two pieces of work, never within one.
        """
        before = set(self.held)
        row = self._connection.execute(_COUNT, (self._member_class,)).fetchone()
        share = ceil(self._slots / max(1, row[0] if row else 1))
        while len(self.held) > share:
            slot = self.held.pop()
            self._connection.execute("select pg_advisory_unlock(%s, %s)", (self._lock_class, slot))
        for slot in range(self._slots):
            if len(self.held) >= share:
                break
            if slot not in self.held and self._try(slot):
                self.held.add(slot)
        return self.held != before

    def _try(self, slot: int) -> bool:
        row = self._connection.execute("select pg_try_advisory_lock(%s, %s)", (self._lock_class, slot)).fetchone()
        return bool(row and row[0])
