"""Restores the embedded stack's PostgreSQL to an instant, and cuts the warehouse back to it.

Everything is made beside the present data and swapped in at the end, by renaming: whatever fails before that leaves
them as they are, and afterwards they lie aside.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import SecretStr

from api.db.bootstrap import prepare_database
from api.db.migrate import upgrade
from contracts.settings import WarehouseSettings
from ingest.epoch import begin_restored_epoch, note_repaired
from ingest.rebuild import rebuild
from ingest.sinks.interface import SinkUnavailableError
from runtime.backup.aim import take_aim
from runtime.backup.checks import Contents, check_contents
from runtime.backup.folder import BackupFolder, BaseBackup
from runtime.backup.programs import BackupError
from runtime.backup.recovery import Aim, Progress, Recovered, is_reachable, newest_history, recovered
from runtime.embedded.postgres import SUPERUSER, EmbeddedPostgres
from runtime.home import Home, HomeError, Ports
from runtime.stack import Stack

Say = Callable[[str], None]


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
    confirm: Callable[[Aim], None],
) -> Restored:
    """Restore PostgreSQL of a home to `at` (None: as far as the log goes), and its raw events with it.

    `confirm` is told what is about to happen and may raise.

    Raises:
        BackupError: it cannot be done; nothing was changed.
        StackError: the stack runs.
    """
    try:
        home.prepare()
    except HomeError as error:
        raise BackupError(str(error)) from error
    aim = take_aim(folder, at)
    _bring_back_secrets(home, aim.backup)
    stack = Stack(home, Ports(), home.secrets())
    with stack.lock():
        confirm(aim)
        if aim.backup.manifest.superuser != SUPERUSER:
            raise BackupError(f"{aim.backup.path} is of a server of your own: restore it with --into FOLDER.")
        say(f"verifying {aim.backup.path}")
        aim.backup.verify()
        fresh = _fresh_server(home, stack)
        warehouse = home.path / "warehouse.restoring"
        try:
            with recovered(aim, folder, fresh, log=home.logs / "restore.log", progress=progress) as made:
                contents = _look(made)
                say("bringing roles and schema up to date")
                _adopt(made, stack)
                _cut_back(made, warehouse, progress)
            _claim_timeline(folder, aim.backup, fresh.folder)
            kept = _swap(home, stack, fresh, warehouse)
        finally:
            shutil.rmtree(warehouse, ignore_errors=True)
            _forget_link(home.path / "postgres.restoring")
        _bring_back_files(aim.backup, home.files)
    return Restored(contents, kept)


def restore_into(
    target: Path,
    folder: BackupFolder,
    at: datetime | None,
    *,
    say: Say,
    progress: Progress,
    confirm: Callable[[Aim], None],
) -> Contents | str:
    """Make a data folder that a PostgreSQL of one's own can be started on; what is in it, or why nobody could look.

    Raises:
        BackupError: it cannot be done; the folder is as it was.
    """
    aim = take_aim(folder, at)
    if target.exists() and any(target.iterdir()):
        raise BackupError(f"{target} is not empty. Choose a new folder.")
    confirm(aim)
    say(f"verifying {aim.backup.path}")
    aim.backup.verify()
    target.parent.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(target, port=0, password="")
    with recovered(aim, folder, server, log=target.with_name(f"{target.name}.restore.log"), progress=progress) as made:
        found = is_reachable(made) or check_contents(made.url())
    _claim_timeline(folder, aim.backup, server.folder)
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
        settings = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{warehouse}"))
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
        descriptor = os.open(home.secrets_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(saved.read_text())


def _bring_back_files(backup: BaseBackup, files: Path) -> None:
    """Imported files that are gone; those that are there stay as they are."""
    saved = backup.path / "files"
    for source in sorted(saved.rglob("*")) if saved.is_dir() else []:
        target = files / source.relative_to(saved)
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
