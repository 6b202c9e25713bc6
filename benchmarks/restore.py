"""How long it takes to be back: a database of many events recovered to its last second, and raw events made anew.

The limit is a plain copy of the same data folder, read and written by the same disk in the same run.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import psycopg
from pydantic import SecretStr

from benchmarks.deal_histories import seed_event_log
from benchmarks.result import BenchmarkResult
from contracts.settings import BackupSettings
from runtime.backup.archive import Archiver
from runtime.backup.base import make_base_backup
from runtime.backup.folder import BackupFolder
from runtime.backup.restore import restore_embedded
from runtime.home import Home, Ports
from runtime.process import ManagedProcess, free_port
from runtime.stack import Stack

_EVENTS = 1_000_000
_LATER = 0.1  # of the events are written after the base backup, and come back from the log
_PATIENCE_SECONDS = 600.0

_LATE_EVENTS = """
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
                       occurred_at, actor, correlation_id, data)
select gen_random_uuid(), %(organization)s, 'deal.deleted', 1, 'deal', gen_random_uuid(), 1, now(), 'user',
       gen_random_uuid(), '{}' from generate_series(1, %(count)s)
"""


def run(*, events: int = _EVENTS) -> BenchmarkResult:
    """Fill, back up, write on, lose the server, restore to the end of the log, start it."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        Path(name).chmod(0o755)  # PostgreSQL may run as another system user
        home = Home(Path(name) / "home")
        home.prepare()
        stack = Stack(home, Ports(*(free_port() for _ in range(5))), home.secrets())
        folder = BackupFolder(home.backups)
        with _server(stack) as process:
            stack.prepare_schema()
            seed_event_log(stack.postgres.url(database="sluice"), events=events)
            with _archive(stack):
                begun = monotonic()
                backup = make_base_backup(stack.environment()["SLUICE_DATABASE_BACKUP_URL"], folder)
                backed_up = monotonic() - begun
                _write_late(stack, int(events * _LATER))
                committed = monotonic()
                lag = _wait_for_archive(stack, folder) - committed
                process.kill()
        begun = monotonic()
        phases: dict[str, float] = {}
        restored = restore_embedded(
            home,
            folder,
            None,
            say=lambda _: None,
            progress=lambda what, _done, _total: phases.update({what: round(monotonic() - begun, 1)}),
            confirm=lambda _: None,
        )
        with _server(stack):
            seconds = monotonic() - begun
        copied = _copy_seconds(backup.data, Path(name) / "copy")
    return BenchmarkResult(
        name="restore",
        figure=seconds,
        unit="s",
        limit=copied,
        limit_description="copying the base backup's files, same run",
        details={
            "events": restored.contents.counts["event_log"],
            "megabytes of the base backup": backup.manifest.size_bytes // 1_000_000,
            "base backup, verified": f"{backed_up:.1f} s",
            "last commit in the archive after": f"{lag:.2f} s",
            "phases ended after": phases,
        },
    )


@contextmanager
def _server(stack: Stack) -> Iterator[ManagedProcess]:
    stack.postgres.prepare()
    process = ManagedProcess(stack.postgres.spec(), log_path=stack.home.logs / "postgres.log")
    process.start()
    process.wait_ready()
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def _archive(stack: Stack) -> Iterator[None]:
    settings = BackupSettings(
        database_backup_url=SecretStr(stack.environment()["SLUICE_DATABASE_BACKUP_URL"]),
        backup_path=stack.home.backups,
        backup_every_hours=0,
    )
    stop = Event()
    thread = Thread(target=Archiver(settings).run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _write_late(stack: Stack, count: int) -> None:
    with psycopg.connect(stack.postgres.url(database="sluice")) as connection:
        row = connection.execute("select organization_id from event_log limit 1").fetchone()
        connection.execute(_LATE_EVENTS, {"organization": row[0] if row else None, "count": count})


def _wait_for_archive(stack: Stack, folder: BackupFolder) -> float:
    """When the archive had what was committed last."""
    backup = folder.backups()[-1]
    archive = folder.archive_of(backup)
    with psycopg.connect(stack.postgres.url()) as connection:
        row = connection.execute("select pg_current_wal_lsn() - '0/0', clock_timestamp()").fetchone()
    position = int(row[0]) if row else 0
    deadline = monotonic() + _PATIENCE_SECONDS
    while monotonic() < deadline:
        commit = archive.last_commit(archive.run_from(position // backup.manifest.segment_bytes))
        # a commit record is a few dozen bytes, and nothing else is written
        if commit is not None and commit.lsn >= position - 8192:
            return monotonic()
        sleep(0.02)
    raise TimeoutError("the archive does not follow")


def _copy_seconds(source: Path, target: Path) -> float:
    begun = monotonic()
    shutil.copytree(source, target)
    return monotonic() - begun
