"""Restores PostgreSQL to an instant, and cuts the warehouse back to it.

Everything is made beside the present data and swapped in at the end, by renaming: whatever fails before that leaves
them as they are, and afterwards they lie aside.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import SecretStr

from api.db.bootstrap import prepare_database
from api.db.migrate import revisions, upgrade
from bus.records import TransportError
from contracts.settings import KafkaSettings, WarehouseSettings
from contracts.warehouse import duckdb_url
from ingest.epoch import EpochTopic, begin_restored_epoch, note_repaired
from ingest.event_log import RewriteUnderWayError
from ingest.rebuild import rebuild
from ingest.reconcile import reconcile
from ingest.sinks.interface import SinkUnavailableError
from runtime.backup.folder import BackupFolder, BaseBackup, Target
from runtime.backup.recovery import Progress, Recovered, is_reachable, newest_history, recovered
from runtime.backup.server import BackupError, migrations_head
from runtime.embedded.postgres import SUPERUSER, EmbeddedPostgres
from runtime.home import Home, HomeError, Ports, write_private
from runtime.stack import Stack

_GAPS = """
select count(*) from (
    select 1 from event_log group by organization_id, aggregate_id
    having count(*) <> max(aggregate_version) or min(aggregate_version) <> 1
) incomplete
"""

_COUNTED = ("organizations", "users", "contacts", "companies", "deals", "event_log")

_OTHERS = """
select count(*) from pg_stat_activity
where usename = current_user and datname = current_database() and pid <> pg_backend_pid()
"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Contents:
    """What a recovered database holds. `last_event_at`: when its newest event was recorded."""

    migrations_head: str
    is_newest_schema: bool
    counts: Mapping[str, int]
    last_event_at: datetime | None

    def __str__(self) -> str:
        rows = ", ".join(f"{count:,} {name.replace('event_log', 'events')}" for name, count in self.counts.items())
        at = self.last_event_at
        last = f", the last recorded at {at.astimezone(UTC).isoformat(timespec='milliseconds')}" if at else ""
        return f"{rows}{last}; schema {self.migrations_head}"


@dataclass(frozen=True)
class Restored:
    """What came of it. `kept`: where the former data lie."""

    contents: Contents
    kept: list[Path]


def restore_embedded(
    home: Home,
    folder: BackupFolder,
    at: datetime | None,
    *,
    say: Say,
    progress: Progress,
    confirm: Callable[[Target], None],
) -> Restored:
    """Restore PostgreSQL of a home to `at` (None: as far as the log goes), and its raw events with it.

    `confirm` is told what is about to happen and may raise.

    Raises:
        BackupError: it cannot be done; nothing was changed.
        StackError: the stack runs.
    """
    try:
        home.prepare()
        home.check_space()
    except HomeError as error:
        raise BackupError(str(error)) from error
    target = folder.target(at)
    _bring_back_secrets(home, target.backup)
    stack = Stack(home, Ports(), home.secrets())
    with stack.lock():
        confirm(target)
        if target.backup.manifest.superuser != SUPERUSER:
            raise BackupError(f"{target.backup.path} is of a server of your own: restore it with --into FOLDER.")
        say(f"verifying {target.backup.path}")
        target.backup.verify()
        fresh = _fresh_server(home, stack)
        warehouse = home.path / "warehouse.restoring"
        try:
            with recovered(target, folder, fresh, log=home.logs / "restore.log", progress=progress) as made:
                contents = _look(made)
                say("bringing roles and schema up to date")
                _adopt(made, stack)
                _cut_back(made, warehouse, progress)
            _claim_timeline(folder, target.backup, fresh.folder)
            kept = _swap(home, stack, fresh, warehouse)
        finally:
            shutil.rmtree(warehouse, ignore_errors=True)
            _forget_link(home.path / "postgres.restoring")
        _bring_back_files(target.backup, home.files)
    return Restored(contents, kept)


def restore_into(
    into: Path,
    folder: BackupFolder,
    at: datetime | None,
    *,
    say: Say,
    progress: Progress,
    confirm: Callable[[Target], None],
) -> Contents | str:
    """Make a data folder that a PostgreSQL of one's own can be started on; what is in it, or why nobody could look.

    Raises:
        BackupError: it cannot be done; the folder is as it was.
    """
    target = folder.target(at)
    if into.exists() and any(into.iterdir()):
        raise BackupError(f"{into} is not empty. Choose a new folder.")
    confirm(target)
    say(f"verifying {target.backup.path}")
    target.backup.verify()
    into.parent.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(into, port=0, password="")
    with recovered(target, folder, server, log=into.with_name(f"{into.name}.restore.log"), progress=progress) as made:
        found = is_reachable(made) or check_contents(made.url())
    _claim_timeline(folder, target.backup, server.folder)
    return found


def _fresh_server(home: Home, stack: Stack) -> EmbeddedPostgres:
    path = home.path / "postgres.restoring"
    shutil.rmtree(path.resolve(), ignore_errors=True)  # of a restore that was killed
    return EmbeddedPostgres(path, port=stack.ports.postgres, password=stack.secrets.postgres)


def _look(made: Recovered) -> Contents:
    reason = is_reachable(made)
    if reason is not None:
        raise BackupError(f"The recovered database cannot be opened: {reason}")
    return check_contents(made.url())


def _adopt(made: Recovered, stack: Stack) -> None:
    """The restored roles have the passwords of then; the stack knows today's. The schema may be older, too."""
    with psycopg.connect(made.url(), autocommit=True) as admin:
        statement = sql.SQL("alter role {} password {}")
        admin.execute(statement.format(sql.Identifier(made.superuser), sql.Literal(stack.secrets.postgres)))
    prepare_database(made.url(database="postgres"), database=made.database, passwords=stack.role_passwords)
    upgrade(made.url("sluice_owner"))


def _cut_back(made: Recovered, warehouse: Path, progress: Progress) -> None:
    """Raw anew, in a warehouse of its own; the marts follow from it as soon as the stack runs."""
    shutil.rmtree(warehouse, ignore_errors=True)
    relay_url = made.url("sluice_relay")
    with psycopg.connect(relay_url, autocommit=True) as connection:
        begin_restored_epoch(connection)
        settings = WarehouseSettings(warehouse_url=SecretStr(duckdb_url(warehouse)))
        try:
            rebuild(relay_url, settings, progress=lambda done, total: progress("rebuilding", done, total))
        except SinkUnavailableError as error:
            raise BackupError(f"The warehouse cannot be made anew: {error}") from error
        note_repaired(connection)


def _claim_timeline(folder: BackupFolder, backup: BaseBackup, data: Path) -> None:
    """Leave the new timeline's history in the archive, so that no later restore takes the same number."""
    history = newest_history(data)
    manifest = backup.manifest
    archive = folder.archive(manifest.system_identifier, int(history.stem, 16), manifest.segment_bytes)
    archive.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(history, archive.path / history.name)


def _swap(home: Home, stack: Stack, fresh: EmbeddedPostgres, warehouse: Path) -> list[Path]:
    """Four renames. A crash between them is noticed by the next start, which names the folders."""
    stamp = datetime.now(UTC).strftime("before-restore-%Y%m%dT%H%M%SZ")
    present = stack.postgres.folder
    pairs = [(home.warehouse, warehouse), (present, fresh.folder)]
    kept = []
    home.unfinished_restore.write_text(stamp)
    for old, new in pairs:
        if old.exists():
            kept.append(old.with_name(f"{old.name}.{stamp}"))
            old.rename(kept[-1])
        old.parent.mkdir(parents=True, exist_ok=True)
        new.rename(old)
    _sync(home.path)
    home.unfinished_restore.unlink()
    return kept


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _forget_link(path: Path) -> None:
    if path.is_symlink():  # a home closed to others: the data lay elsewhere
        shutil.rmtree(path.resolve().parent, ignore_errors=True)
        path.unlink()


def _bring_back_secrets(home: Home, backup: BaseBackup) -> None:
    saved = backup.path / "secrets.json"
    if not home.secrets_file.exists() and saved.exists():
        write_private(home.secrets_file, saved.read_text())


def _bring_back_files(backup: BaseBackup, files: Path) -> None:
    """Imported files that are gone; those that are there stay as they are."""
    saved = backup.path / "files"
    for source in sorted(saved.rglob("*")) if saved.is_dir() else []:
        target = files / source.relative_to(saved)
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def finish_restore(
    relay_url: str,
    kafka: KafkaSettings,
    warehouse: WarehouseSettings,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> None:
    """Begin an epoch in which the broker's former events do not count, and make the warehouse anew. May be repeated.

    Raises:
        BackupError: relay or loader run, or broker or warehouse cannot be reached.
        psycopg.Error: PostgreSQL cannot be reached.
    """
    with psycopg.connect(relay_url, autocommit=True) as connection:
        row = connection.execute(_OTHERS).fetchone()
        if row and row[0]:
            raise BackupError(f"Stop relay, loader, refresh and Dagster first: {row[0]} of their connections are open.")
        epoch = begin_restored_epoch(connection)
        say("a new epoch begins: the broker's former events do not count")
        try:
            with closing(EpochTopic.connect(kafka)) as topic:
                topic.write(epoch)
        except TransportError as error:
            raise BackupError(f"The broker cannot be told: {error}. Run this again when it is there.") from error
        try:
            rebuild(relay_url, warehouse, progress=progress)
            report = reconcile(relay_url, warehouse)
        except (SinkUnavailableError, RewriteUnderWayError) as error:
            raise BackupError(f"The warehouse was not made anew: {error}. Run this again.") from error
        say(str(report))
        if not report.is_clean:
            raise BackupError("The warehouse still differs. Is a loader running?")
        note_repaired(connection)


def check_contents(url: str) -> Contents:
    """Read the database as its superuser.

    Raises:
        BackupError: it is not whole, or newer than this release.
    """
    with psycopg.connect(url) as connection:
        head = _known_head(connection)
        incomplete = _number(connection, _GAPS)
        if incomplete:
            raise BackupError(f"The event log is not continuous: {incomplete:,} histories lack events.")
        counts = {table: _number(connection, f"select count(*) from {table}") for table in _COUNTED}
        row = connection.execute("select recorded_at from event_log order by position desc limit 1").fetchone()
    return Contents(head, head == revisions()[-1], counts, row[0] if row else None)


def _known_head(connection: psycopg.Connection) -> str:
    head = migrations_head(connection)
    if head is None:
        raise BackupError("The backup holds no database of Sluice.")
    if head not in revisions():
        raise BackupError(
            f"The backup's schema {head} is unknown to this release of Sluice. Restore it with the release that made"
            " it, or a newer one."
        )
    return head


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
