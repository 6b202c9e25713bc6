"""Recovers a base backup and its archived log, up to an instant, into a new data folder, and shows what is in it.

The server that does so obeys no configuration but ours: what the backed-up one was told (ports, archiving, libraries)
waits in the data folder for whoever starts it there.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from time import monotonic, sleep

import psycopg

from runtime.backup.folder import BackupFolder, BaseBackup, Target, parse_lsn
from runtime.backup.server import BackupError
from runtime.embedded.postgres import Account, EmbeddedPostgres
from runtime.process import ManagedProcess, ProcessSpec

Progress = Callable[[str, int, int], None]

_BLOCK = 8 << 20
_RESTORED = re.compile(r'restored log file "[0-9A-F]{24}"')
#: Copying apart, how long the server may be silent: replaying one segment takes well under a second.
_SILENCE_SECONDS = 300
_HBA = "local all all trust\n"  # the socket's folder is closed to everybody else
_MARGIN_BYTES = 200_000_000


@dataclass(frozen=True)
class Recovered:
    """A recovered server that runs on a private socket, as its superuser sees it."""

    socket: Path
    superuser: str
    database: str

    def url(self, user: str | None = None, database: str | None = None) -> str:
        """URL for any role, without a password."""
        return f"postgresql://{user or self.superuser}@/{database or self.database}?host={self.socket}"


@contextmanager
def recovered(
    target: Target, folder: BackupFolder, server: EmbeddedPostgres, *, log: Path, progress: Progress
) -> Iterator[Recovered]:
    """Recover into `server.folder`, which must be new or empty; the server runs for as long as the block lasts.

    Raises:
        BackupError: no room, or the log does not lead to the target; the new data folder is removed.
    """
    data = server.folder
    staging = data.with_name(f"{data.name}.log")
    socket = Path(tempfile.mkdtemp(prefix="sluice-restore-"))
    process: ManagedProcess | None = None
    try:
        _check_space(target, data)
        _copy_data(target.backup, data, server.account, progress)
        _stage_log(target, folder, staging, server.account)
        _give(socket, server.account)
        process = ManagedProcess(_spec(target, server, staging, socket), log_path=log)
        process.start()
        made = Recovered(socket, target.backup.manifest.superuser, target.backup.manifest.database)
        _wait(target, process, log, progress)
        _check_end(target, data)
        shutil.rmtree(staging)
        yield made
        process.stop(timeout=120)
    except BaseException:
        if process is not None:
            process.stop()
        shutil.rmtree(data, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(socket, ignore_errors=True)


def _check_space(target: Target, data: Path) -> None:
    needed = target.backup.manifest.size_bytes + _MARGIN_BYTES
    if os.stat(target.backup.path).st_dev != os.stat(data.parent).st_dev:  # noqa: PTH116  # the pair reads better so
        needed += len(target.run.segments) * target.backup.manifest.segment_bytes
    free = shutil.disk_usage(data.parent).free
    if free < needed:
        raise BackupError(
            f"The restore needs {needed // 1_000_000} MB beside the present data; {free // 1_000_000} MB are free in"
            f" {data.parent}. Free some space, and try again."
        )


def _copy_data(backup: BaseBackup, data: Path, account: Account | None, progress: Progress) -> None:
    if data.exists() and any(data.iterdir()):
        raise BackupError(f"{data} is not empty. Choose a new folder.")
    done, total = 0, max(1, backup.manifest.size_bytes)
    for source in [backup.data, *sorted(backup.data.rglob("*"))]:
        target = data / source.relative_to(backup.data)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            shutil.copyfile(source, target)
            done += source.stat().st_size
            progress("copying", min(done, total), total)
        target.chmod(0o700 if source.is_dir() else 0o600)
        if account:
            os.chown(target, account.uid, account.gid)
    (data / "backup_manifest").unlink()
    recovery_signal = data / "recovery.signal"
    recovery_signal.touch(mode=0o600)
    _give(recovery_signal, account)


def _stage_log(target: Target, folder: BackupFolder, staging: Path, account: Account | None) -> None:
    """Put the log where the server's user can read it, the last segment under its final name: links where possible."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    archive = folder.archive_of(target.backup)
    for number, path in target.run.segments.items():
        _link_or_copy(path, staging / archive.name_of(number), account)
    for path in folder.histories(target.backup.manifest.system_identifier):
        _link_or_copy(path, staging / path.name, account)
    _give(staging, account)


def _link_or_copy(path: Path, target: Path, account: Account | None) -> None:
    try:
        if path.suffix == ".partial":  # may still be written to, and renamed
            raise OSError("partial")
        target.hardlink_to(path)
        if account:  # the group of the one who has these data anyway
            os.chown(target, -1, account.gid)
            target.chmod(0o640)
    except FileNotFoundError:  # finished meanwhile
        shutil.copyfile(path.with_suffix(""), target)
        _give(target, account)
    except OSError:
        shutil.copyfile(path, target)
        _give(target, account)


def _give(path: Path, account: Account | None) -> None:
    if account:
        os.chown(path, account.uid, account.gid)


def _spec(target: Target, server: EmbeddedPostgres, staging: Path, socket: Path) -> ProcessSpec:
    (socket / "empty.conf").touch()
    (socket / "hba.conf").write_text(_HBA)
    for path in socket.iterdir():
        path.chmod(0o600)
        _give(path, server.account)
    options = {
        "config_file": str(socket / "empty.conf"),
        "hba_file": str(socket / "hba.conf"),
        "ident_file": str(socket / "empty.conf"),
        "listen_addresses": "",
        "unix_socket_directories": str(socket),
        "restore_command": _copy_command(staging),
        "recovery_target_timeline": "current",
        "hot_standby": "off",
        "archive_mode": "off",
        "shared_preload_libraries": "",
        "primary_conninfo": "",
        "ssl": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_min_messages": "log",
        "lc_messages": "C",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_wal_size": "1GB",
        "shared_buffers": "128MB",
        "max_connections": "20",
        "jit": "off",
    }
    if target.at is not None:
        options["recovery_target_time"] = target.at.astimezone(UTC).isoformat(sep=" ")
        options["recovery_target_action"] = "promote"
    account = server.account
    return ProcessSpec(
        name="recovery",
        argv=[str(server.programs / "postgres"), f"-D{server.folder}"]
        + [f"-c{name}={value}" for name, value in options.items()],
        cwd=Path("/"),
        user=account.uid if account else None,
        group=account.gid if account else None,
    )


def _copy_command(staging: Path) -> str:
    """`cp`, with the folder quoted for the shell, and % for PostgreSQL."""
    quoted = str(staging).replace("'", "'\\''").replace("%", "%%")
    return f"cp '{quoted}/%f' \"%p\""


def _wait(target: Target, process: ManagedProcess, log_path: Path, progress: Progress) -> None:
    """Wait until the server takes writes, and say how many segments it has replayed."""
    began_with = log_path.stat().st_size
    total, replayed, heard_at = max(1, len(target.run.segments)), -1, monotonic()
    while True:
        with log_path.open(errors="replace") as log:
            log.seek(began_with)
            text = log.read()
        count = len(_RESTORED.findall(text))
        if count != replayed:
            replayed, heard_at = count, monotonic()
            progress("replaying", min(count, total), total)
        if "database system is ready to accept connections" in text:
            return
        if not process.is_running():
            raise BackupError(_why(target, text, log_path))
        if monotonic() - heard_at > _SILENCE_SECONDS:
            raise BackupError(f"The recovery stands still; see {log_path}.")
        sleep(0.05)


def _why(target: Target, text: str, log: Path) -> str:
    if "recovery ended before configured recovery target was reached" in text:
        return _damaged(target, _replayed_until(text), log)
    if "No space left on device" in text:
        return "The disk is full. Free some space, and try again; the present data are untouched."
    lines = [line for line in text.splitlines() if "FATAL:" in line or "PANIC:" in line]
    said = lines[0].split(": ", 1)[-1].strip() if lines else "the server ended"
    return f"The recovery failed: {said} (log: {log})"


def _damaged(target: Target, until: str, log: Path) -> str:
    names = [path.name for _, path in sorted(target.run.segments.items())]
    return (
        f"The archived log is damaged ({names[0]} to {names[-1]}): it could be read until {until} only."
        f" Restore to an instant before that, or from another copy. (log: {log})"
    )


def _replayed_until(text: str) -> str:
    found = re.findall(r"last completed transaction was at log time (\S+ \S+)", text)
    return f"{found[-1]} UTC" if found else "its beginning"


def newest_history(data: Path) -> Path:
    """The history file of the data folder's newest timeline."""
    return max((data / "pg_wal").glob("*.history"))


def _check_end(target: Target, data: Path) -> None:
    """Damage at the end of the log looks like its end: then the new timeline begins before the last commit known."""
    history = newest_history(data)
    fork = history.read_text().strip().splitlines()[-1].split("\t")[1]
    if target.at is None and parse_lsn(fork) <= target.end_lsn:
        raise BackupError(_damaged(target, f"position {fork}", history))


def is_reachable(made: Recovered) -> str | None:
    """None if the database can be opened here; else why not (for example a locale that this machine lacks)."""
    try:
        psycopg.connect(made.url()).close()
    except psycopg.OperationalError as error:
        return str(error).strip().splitlines()[-1]
    return None
