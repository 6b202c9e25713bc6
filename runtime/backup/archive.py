"""The archive process: streams write-ahead log into the folder of backups as it is written, and makes base backups.

pg_receivewal does the streaming, over a replication slot: the server keeps what the archive has not got yet. A server
that was promoted or restored is another life of its cluster, with log and base backups of its own.
"""

import logging
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import psycopg
from psycopg.conninfo import conninfo_to_dict

from contracts.settings import BackupSettings, FileSettings
from ingest.backoff import Backoff
from ingest.heartbeat import Heartbeat
from runtime.backup.base import make_base_backup
from runtime.backup.folder import Archive, BackupFolder, BaseBackup
from runtime.backup.server import (
    SLOT,
    BackupError,
    SlotState,
    Source,
    connect,
    connection_arguments,
    drop_slot,
    identify,
    last_words,
    make_slot,
    slot_state,
    start_program,
)
from runtime.home import Home

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
#: pg_receivewal tells the server how far it is this often: then the server may let go of older log.
_STATUS_SECONDS = 5
_REMOVED = "has already been removed"


def run(stop: threading.Event) -> None:
    """Archive until `stop` is set. Settings come from the environment."""
    settings = BackupSettings()
    Archiver(settings, files=FileSettings().files_path, secrets=_secrets_of(settings)).run(stop)


def _secrets_of(settings: BackupSettings) -> Path | None:
    """The secrets of the embedded stack, if it is that which is archived; others are the operator's to keep."""
    home = Home.locate()
    if not home.secrets_file.exists():
        return None
    password = conninfo_to_dict(settings.database_backup_url.get_secret_value()).get("password")
    return home.secrets_file if password == home.secrets().backup else None


@dataclass
class Archiver:
    """One archive process. Two at once are harmless: the slot serves one of them."""

    settings: BackupSettings
    files: Path | None = None
    secrets: Path | None = None
    _backoff: Backoff = field(default_factory=Backoff)
    _failed_at: float | None = None

    def __post_init__(self) -> None:
        self._url = self.settings.database_backup_url.get_secret_value()
        self._folder = BackupFolder(self.settings.backup_path.absolute())
        self._heartbeat = Heartbeat("archive", self._url)
        self._newest: BaseBackup | None = None
        self._making: Future[BaseBackup] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="base-backup")

    def run(self, stop: threading.Event) -> None:
        """Archive until `stop` is set; whatever is down is tried again with growing pauses."""
        while not stop.is_set():
            try:
                self._session(stop)
            except psycopg.Error as error:
                self._pause(stop, "database unavailable", str(error).splitlines()[0])
            except (BackupError, OSError) as error:
                self._pause(stop, "paused", str(error))
        self._pool.shutdown()
        if self._making is not None:
            self._finish_backup(self._making, stop)
        self._heartbeat.say("stopped")
        self._heartbeat.close()

    def _pause(self, stop: threading.Event, state: str, error: str) -> None:
        self._heartbeat.say(state, error=error)
        stop.wait(self._backoff.next_delay())

    def _session(self, stop: threading.Event) -> None:
        """Archive one life of one cluster until the stream breaks."""
        with connect(self._url) as connection:
            source = identify(connection)
            archive = self._folder.archive(source.system_identifier, source.timeline, source.segment_bytes)
            archive.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prepare_slot(connection, archive)
            self._newest = self._newest_usable(archive)
            archive.drop_unprepared()
            arguments, environment = connection_arguments(self._url)
            receiver = start_program(
                "pg_receivewal",
                [f"--directory={archive.path}", f"--slot={SLOT}", "--no-loop", f"--status-interval={_STATUS_SECONDS}",
                 *arguments],
                environment=environment,
            )  # fmt: skip
            try:
                self._watch(stop, connection, source, receiver)
            finally:
                lines = _end(receiver)
        if not stop.is_set():
            if _REMOVED in "".join(lines):
                archive.begin_after_gap()
                logger.warning("log is missing from the archive: a new base backup is made")
            raise BackupError(f"the stream of log ended: {last_words(lines)}")

    def _prepare_slot(self, connection: psycopg.Connection, archive: Archive) -> None:
        state = slot_state(connection)
        if state is not None and state.status == "lost":
            logger.warning("the server has given up log that was not archived yet: a new base backup is made")
            drop_slot(self._url)
            state = None
        if state is None:
            make_slot(self._url)
            if archive.segments():  # whatever the server removed while there was no slot is a gap
                archive.begin_after_gap()

    def _newest_usable(self, archive: Archive) -> BaseBackup | None:
        """The newest base backup of this life from which the log goes on without a gap."""
        own = [backup for backup in self._folder.backups() if self._folder.archive_of(backup) == archive]
        return own[-1] if own and own[-1].manifest.start_segment > archive.last_gap() else None

    def _watch(
        self, stop: threading.Event, connection: psycopg.Connection, source: Source, receiver: subprocess.Popen[str]
    ) -> None:
        while not stop.wait(_LOOK_SECONDS) and receiver.poll() is None:
            self._backoff.reset()
            self._say(slot_state(connection))
            present = identify(connection)
            if source.timeline != present.timeline:
                return
            self._look_after_backups(stop, present)

    def _look_after_backups(self, stop: threading.Event, source: Source) -> None:
        """Make a base backup when one is due, beside everything else: it may take hours."""
        if self._making is not None and self._making.done():
            self._finish_backup(self._making, stop)
            self._making = None
        if self._making is None and self._is_backup_due(source):
            making = partial(
                make_base_backup, self._url, self._folder, files=self.files, secrets=self.secrets, stop=stop
            )
            self._making = self._pool.submit(making)

    def _is_backup_due(self, source: Source) -> bool:
        every = timedelta(hours=self.settings.backup_every_hours)
        if not every or (self._failed_at is not None and monotonic() - self._failed_at < every.total_seconds() / 24):
            return False
        return self._newest is None or source.now - self._newest.manifest.started_at >= every

    def _finish_backup(self, made: Future[BaseBackup], stop: threading.Event) -> None:
        try:
            self._newest, self._failed_at = made.result(), None
            self._folder.prune(self.settings.backup_keep)
        except (BackupError, OSError, psycopg.Error) as error:
            if not stop.is_set():
                self._failed_at = monotonic()
                logger.error("no base backup was made: %s", error)

    def _say(self, slot: SlotState | None) -> None:
        newest = self._newest.manifest.finished_at.isoformat(timespec="seconds") if self._newest else None
        self._heartbeat.say(
            "running",
            error="the last base backup failed; see the log" if self._failed_at is not None else None,
            last_backup=newest,
            behind_bytes=None if slot is None else slot.kept_bytes,
            warning=_warning(slot),
        )


def _warning(slot: SlotState | None) -> str | None:
    if slot is not None and slot.limit_mb < 0:
        return "max_slot_wal_keep_size is not set: an archive that stands still fills the server's disk"
    return None


def _end(receiver: subprocess.Popen[str]) -> list[str]:
    """Let pg_receivewal finish what it holds; what it said."""
    receiver.terminate()
    try:
        _, errors = receiver.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        receiver.kill()
        _, errors = receiver.communicate()
    return errors.splitlines()
