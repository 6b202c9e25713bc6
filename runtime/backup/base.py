"""Makes one base backup: copied by pg_basebackup, verified against the server's checksums, and only then counted."""

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg

from runtime.backup.folder import BackupFolder, BaseBackup, Manifest, name_for
from runtime.backup.server import (
    BackupError,
    connect,
    connection_arguments,
    identify,
    last_words,
    migrations_head,
    run_program,
)
from runtime.home import write_private

Progress = Callable[[int, int], None]

_PROGRESS = re.compile(r"^\s*(\d+)/(\d+) kB")
_ROOM = 1.1  # of the database's size must be free


def make_base_backup(
    url: str,
    folder: BackupFolder,
    *,
    files: Path | None = None,
    secrets: Path | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> BaseBackup:
    """Copy the server that `url` names, with the imported `files` and the embedded stack's `secrets`.

    `progress(done, total)` counts bytes. Whatever fails or is stopped leaves nothing behind.

    Raises:
        BackupError: the copy failed, or is damaged; the message says why.
        psycopg.Error: the server cannot be reached.
    """
    with folder.sole_writer(), connect(url) as connection:
        source = identify(connection)
        head = migrations_head(connection)
        _check_space(folder.path, _size_of(connection))
        name = name_for(source.now)
        making = folder.base / f".making-{name}"
        making.mkdir(parents=True, mode=0o700)
        try:
            _copy_server(url, making / "data", progress, stop)
            copied = _copy_files(files, making / "files")
            if secrets is not None and secrets.exists():
                write_private(making / "secrets.json", secrets.read_text())
            began, ended = _log_range(making / "data", source.timeline)
            manifest = Manifest(
                name=name,
                started_at=source.now,
                finished_at=identify(connection).now,
                start_lsn=began,
                end_lsn=ended,
                timeline=source.timeline,
                system_identifier=source.system_identifier,
                segment_bytes=source.segment_bytes,
                server_version=source.server_version,
                superuser=source.superuser,
                database=source.database,
                migrations_head=head,
                size_bytes=sum(path.stat().st_size for path in (making / "data").rglob("*") if path.is_file()),
                files=copied,
                has_secrets=(making / "secrets.json").exists(),
            )
            BaseBackup(making, manifest).verify()
            _write_synced(making / "sluice.json", manifest.to_json())
            making.rename(folder.base / name)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return BaseBackup(folder.base / name, manifest)


def _copy_server(url: str, data: Path, progress: Progress | None, stop: threading.Event | None) -> None:
    def hear(line: str) -> None:
        match = _PROGRESS.match(line)
        if match and progress:
            progress(int(match[1]) * 1024, int(match[2]) * 1024)

    connection, environment = connection_arguments(url)
    code, _, lines = run_program(
        "pg_basebackup",
        # the log of the backup itself lies in it: it can be restored even where the archive is lost
        ["-D", data, "--wal-method=stream", "--checkpoint=fast", "--progress", "--verbose", *connection],
        environment=environment,
        on_line=hear,
        stop=stop,
    )
    if code != 0:
        raise BackupError(f"No backup was made: {_reason(lines)}")


def _reason(lines: list[str]) -> str:
    errors = [line for line in lines if "error:" in line or "FATAL:" in line]
    said = last_words(errors[:1] or lines)
    if "no pg_hba.conf entry" in said:
        return f"{said}. Let sluice_backup replicate: a line `host replication sluice_backup ADDRESS scram-sha-256`."
    return said


def _size_of(connection: psycopg.Connection) -> int:
    row = connection.execute("select pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def _check_space(folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size * _ROOM:
        raise BackupError(
            f"The backup needs about {size // 1_000_000} MB; {free // 1_000_000} MB are free in {folder}."
            " Free some space, keep fewer backups (--keep), or choose another folder (--to)."
        )


def _copy_files(files: Path | None, to: Path) -> int:
    if files is None or not files.is_dir():
        return 0
    shutil.copytree(files, to)
    return sum(path.is_file() for path in to.rglob("*"))


def _log_range(data: Path, timeline: int) -> tuple[str, str]:
    ranges = json.loads((data / "backup_manifest").read_text())["WAL-Ranges"]
    own = [one for one in ranges if one["Timeline"] == timeline]
    if len(own) != 1 or len(ranges) != 1:
        raise BackupError("The server was promoted while it was copied. Try again.")
    return own[0]["Start-LSN"], own[0]["End-LSN"]


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
