"""The server that is backed up: who it is, how far its log is, and how its replication slot fares."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from runtime.backup.programs import BackupError, connection_arguments, run_program

#: Keeps the server from removing log that the archive has not got yet.
SLOT = "sluice_archive"
#: Major version of the programs that come with Sluice.
SUPPORTED_MAJOR = 18

_SOURCE = """
select (select system_identifier from pg_control_system()),
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
       (select setting::bigint from pg_settings where name = 'wal_segment_size'),
       current_setting('server_version'), (select rolname from pg_roles where oid = 10), current_database(),
       clock_timestamp(), pg_is_in_recovery()
"""

_SLOT = """
select wal_status, active, coalesce(pg_current_wal_lsn() - restart_lsn, 0)::bigint,
       (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size')
from pg_replication_slots where slot_name = %s
"""


@dataclass(frozen=True)
class Source:
    """A server as it was when asked. (system_identifier, timeline) is one life of one cluster."""

    system_identifier: int
    timeline: int
    segment_bytes: int
    server_version: str
    superuser: str
    database: str
    now: datetime


@dataclass(frozen=True)
class SlotState:
    """The archive's slot: `kept_bytes` of log are kept for it, `limit_mb` at most (-1: without limit)."""

    status: str
    active: bool
    kept_bytes: int
    limit_mb: int


def connect(url: str) -> psycopg.Connection:
    """A connection as `sluice_backup`, every statement by itself."""
    return psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="sluice-archive")


def identify(connection: psycopg.Connection) -> Source:
    """Who the server is.

    Raises:
        BackupError: it is a standby, or of another major version than Sluice's programs.
    """
    with connection.cursor() as cursor:
        if cursor.execute("select pg_is_in_recovery()").fetchone() == (True,):
            raise BackupError("The server is a standby. Name the primary in SLUICE_DATABASE_BACKUP_URL.")
        row = cursor.execute(_SOURCE).fetchone()
    source = Source(*(row or ())[:7])
    if int(source.server_version.split(".")[0]) != SUPPORTED_MAJOR:
        raise BackupError(
            f"The server is PostgreSQL {source.server_version}; Sluice backs up {SUPPORTED_MAJOR}."
            " Back it up by its own version's pg_basebackup, or upgrade it."
        )
    return source


def slot_state(connection: psycopg.Connection) -> SlotState | None:
    """The archive's slot; None where there is none."""
    row = connection.execute(_SLOT, (SLOT,)).fetchone()
    return SlotState(*row) if row else None


def make_slot(url: str) -> None:
    """Make the archive's slot unless it is there."""
    _slot_command(url, "--create-slot", "--if-not-exists")


def drop_slot(url: str) -> None:
    """Drop the archive's slot: what the server kept for it was given up."""
    _slot_command(url, "--drop-slot")


def _slot_command(url: str, *arguments: str) -> None:
    connection, environment = connection_arguments(url)
    code, _, lines = run_program(
        "pg_receivewal", [*arguments, f"--slot={SLOT}", "--no-loop", *connection], environment=environment
    )
    if code != 0:
        raise BackupError(f"The replication slot {SLOT} cannot be made: {last_words(lines)}")


def last_words(lines: list[str]) -> str:
    """What a program said last, without its name."""
    said = [line for line in lines if line.strip()]
    return said[-1].split(": ", 1)[-1].removeprefix("error: ") if said else "it ended without a word"
