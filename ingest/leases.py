"""Who may work on which slot (a shard of aggregates, a partition): session advisory locks, shared fairly.

A lease lives as long as its holder's connection. A process that was stopped keeps its connection, so members whose
session has been silent for too long are disconnected by the others: with the session go its leases and its means to
write.
"""

from math import ceil

import psycopg

#: A member that has not spoken to PostgreSQL for this long is taken for dead. Members poll several times a second.
SILENCE_SECONDS = 30.0

_IN_THIS_DATABASE = "database = (select oid from pg_database where datname = current_database())"

_COUNT = f"""
select count(distinct pid) from pg_locks
where locktype = 'advisory' and classid = %s and objid = 0 and granted and {_IN_THIS_DATABASE}
"""

# a session that waits for PostgreSQL is `active`, however long it takes: only silence of the client counts
_DISCONNECT = f"""
select pg_terminate_backend(pid) from pg_stat_activity
where pid in (
        select pid from pg_locks
        where locktype = 'advisory' and classid = %s and objid = 0 and granted and {_IN_THIS_DATABASE}
    )
    and pid <> pg_backend_pid() and state like 'idle%%'
    and state_change < clock_timestamp() - make_interval(secs => %s)
"""


class Leases:
    """The slots that one connection holds, out of `slots` that all members share.

    `lock_class` and `member_class` are the first keys of the advisory locks: one per held slot, and one, shared, per
    member. The connection must be in autocommit mode.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        lock_class: int,
        member_class: int,
        slots: int,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._connection, self._lock_class, self._member_class = connection, lock_class, member_class
        self._slots, self._silence_seconds = slots, silence_seconds
        self.held: set[int] = set()
        connection.execute("select pg_advisory_lock_shared(%s, 0)", (member_class,))

    def balance(self) -> bool:
        """Take or give back slots so that all living members have equally many; whether anything changed.

        Call it between two pieces of work, never within one.
        """
        before = set(self.held)
        self._connection.execute(_DISCONNECT, (self._member_class, self._silence_seconds))
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
