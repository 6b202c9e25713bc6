"""Chooses the base backup and the log that lead to an instant, and says in words why there may be none."""

from collections.abc import Sequence
from datetime import datetime

from runtime.backup.folder import BackupFolder, BaseBackup
from runtime.backup.programs import BackupError
from runtime.backup.recovery import Aim
from runtime.backup.source import SUPPORTED_MAJOR
from runtime.backup.wal import parse_lsn


def reach_of(folder: BackupFolder, backup: BaseBackup) -> Aim:
    """How far one goes from a base backup: all of its log, or its own end where none was archived."""
    archive = folder.archive_of(backup)
    run = archive.run_from(backup.manifest.start_segment)
    commit = archive.last_commit(run)
    manifest = backup.manifest
    if commit is None or commit.at < manifest.finished_at:
        return Aim(backup, run, None, manifest.finished_at, parse_lsn(manifest.end_lsn) - 1)
    return Aim(backup, run, None, commit.at, commit.lsn)


def take_aim(folder: BackupFolder, at: datetime | None) -> Aim:
    """The way to `at`, or to the newest instant there is (None).

    Raises:
        BackupError: there is no backup, or none that leads there.
    """
    backups = folder.backups()
    if not backups:
        raise BackupError(f"There is no backup in {folder.path}. ./sluice backup makes one.")
    chosen = backups[-1] if at is None else _before(backups, at)
    if chosen.manifest.major_version != SUPPORTED_MAJOR:
        raise BackupError(
            f"{chosen.path} is of PostgreSQL {chosen.manifest.server_version}; Sluice restores {SUPPORTED_MAJOR}."
            " Use the release of Sluice that made it."
        )
    reach = reach_of(folder, chosen)
    if at is None:
        return reach
    if at >= reach.end_at:
        raise BackupError(_too_late(folder, reach, at))
    return Aim(chosen, reach.run, at, reach.end_at, reach.end_lsn)


def _before(backups: Sequence[BaseBackup], at: datetime) -> BaseBackup:
    earlier = [backup for backup in backups if backup.manifest.finished_at <= at]
    if not earlier:
        raise BackupError(
            f"{_text(at)} lies before the first backup, which was finished at {_text(backups[0].manifest.finished_at)}."
        )
    return earlier[-1]


def _too_late(folder: BackupFolder, reach: Aim, at: datetime) -> str:
    if reach.run.missing is not None:
        name = folder.archive_of(reach.backup).name_of(reach.run.missing)
        return (
            f"{_text(at)} cannot be reached: the log segment {name} is missing. From {reach.backup.path} one gets to"
            f" {_text(reach.end_at)}."
        )
    return f"{_text(at)} lies after the end of the log, which reaches until {_text(reach.end_at)} (--latest)."


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
