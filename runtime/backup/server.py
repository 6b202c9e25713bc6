"""The server that is backed up, and PostgreSQL's client programs as calls: who it is, how its replication slot fares.

Passwords stay out of the process list.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runtime.embedded.postgres import PROGRAMS
from runtime.process import die_with_parent

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


class BackupError(RuntimeError):
    """A backup or a restore cannot be done: says why and what to do. Nothing was changed."""


def connection_arguments(url: str) -> tuple[list[str], dict[str, str]]:
    """Arguments that name the server, and the environment that holds the password."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    return ["-d", make_conninfo("", **parts)], {"PGPASSWORD": str(password)} if password else {}


def start_program(
    name: str, arguments: Sequence[str | Path], *, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start one of PostgreSQL's programs; its standard output and error are text pipes."""
    return subprocess.Popen(
        [str(PROGRAMS / name), *map(str, arguments)],
        # os.environ: a child inherits PATH, locale and certificates; times are printed in UTC, messages in English
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call, which takes no lock
    )


def run_program(
    name: str,
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _line: None,
    stop: threading.Event | None = None,
) -> tuple[int, str, list[str]]:
    """Run a program to its end: exit code, standard output, lines of standard error. `on_line` hears of each of those;
    when `stop` is set the program is asked to end."""
    with start_program(name, arguments, environment=environment) as process:
        output: list[str] = []
        reader = threading.Thread(target=lambda: output.extend(process.stdout or ()))
        reader.start()
        lines = []
        for line in process.stderr or ():
            lines.append(line.rstrip())
            on_line(lines[-1])
            if stop is not None and stop.is_set():
                process.terminate()
        reader.join()
        return process.wait(), "".join(output), lines


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


def migrations_head(connection: psycopg.Connection) -> str | None:
    """The newest migration of the database; None where it is none of Sluice's."""
    try:
        row = connection.execute("select version_num from public.alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return str(row[0]) if row else None
