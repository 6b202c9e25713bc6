"""The folder of backups: what lies where, and what each base backup says of itself.

base/<time>/data, files, secrets.json, sluice.json     one base backup; `sluice.json` is written last
wal/<system>-<timeline>/                                archived write-ahead log of one life of one cluster
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from runtime.backup.programs import BackupError, run_program
from runtime.backup.wal import Archive, parse_lsn

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a base backup holds. A restore may aim at any instant from `finished_at` on."""

    name: str
    started_at: datetime
    finished_at: datetime
    start_lsn: str
    end_lsn: str
    timeline: int
    system_identifier: int
    segment_bytes: int
    server_version: str
    superuser: str
    database: str
    migrations_head: str | None
    size_bytes: int
    files: int
    has_secrets: bool

    @property
    def major_version(self) -> int:
        """18 of 18.6."""
        return int(self.server_version.split(".")[0])

    @property
    def start_segment(self) -> int:
        """Number of the first write-ahead log segment that a recovery from this backup reads."""
        return parse_lsn(self.start_lsn) // self.segment_bytes

    def to_json(self) -> str:
        """As stored."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2, default=lambda at: at.isoformat())

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """As read; ValueError or KeyError or TypeError if it is none of ours."""
        content = json.loads(text)
        if content.pop("format") != _FORMAT:
            raise ValueError("format")
        for name in ("started_at", "finished_at"):
            content[name] = datetime.fromisoformat(content[name])
        return cls(**content)


@dataclass(frozen=True)
class BaseBackup:
    """A complete base backup."""

    path: Path
    manifest: Manifest

    @property
    def data(self) -> Path:
        """PostgreSQL's files."""
        return self.path / "data"

    def verify(self) -> None:
        """Compare every file with the checksums that the server gave with it.

        Raises:
            BackupError: something is damaged.
        """
        code, _, lines = run_program("pg_verifybackup", ["-q", self.data])
        if code != 0:
            said = lines[0].removeprefix("pg_verifybackup: error: ") if lines else f"pg_verifybackup ended with {code}"
            raise BackupError(f"The base backup {self.path} is damaged: {said}.")


@dataclass(frozen=True)
class BackupFolder:
    """All backups of one or more clusters."""

    path: Path

    @property
    def base(self) -> Path:
        """Folder of base backups."""
        return self.path / "base"

    def backups(self) -> list[BaseBackup]:
        """Complete base backups, oldest first. What is being made, or was never finished, is not among them."""
        found = []
        for path in sorted(self.base.glob("[0-9]*")):
            try:
                found.append(BaseBackup(path, Manifest.from_json((path / "sluice.json").read_text())))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return sorted(found, key=lambda backup: backup.manifest.finished_at)

    def archive(self, system_identifier: int, timeline: int, segment_bytes: int) -> Archive:
        """The archived log of one timeline of one cluster."""
        return Archive(self.path / "wal" / f"{system_identifier}-{timeline:08X}", timeline, segment_bytes)

    def archive_of(self, backup: BaseBackup) -> Archive:
        """The archived log that goes on from a base backup."""
        manifest = backup.manifest
        return self.archive(manifest.system_identifier, manifest.timeline, manifest.segment_bytes)

    def histories(self, system_identifier: int) -> list[Path]:
        """History files of all timelines of a cluster: a new timeline gets a number that none of them has."""
        return sorted((self.path / "wal").glob(f"{system_identifier}-*/*.history"))

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` base backups, and the log that none of those needs; what was removed."""
        backups = self.backups()
        gone, kept = backups[:-keep], backups[-keep:]
        for backup in gone:
            (backup.path / "sluice.json").unlink()  # first: half a backup is none
            shutil.rmtree(backup.path)
        for backup in gone:
            archive = self.archive_of(backup)
            needed = [one.manifest.start_segment for one in kept if self.archive_of(one) == archive]
            if needed:
                archive.forget_before(min(needed))
            else:
                archive.forget_all()
        return [backup.manifest.name for backup in gone]

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """The right to add a base backup; what an interrupted one left is removed.

        Raises:
            BackupError: another one is being made.
        """
        self.base.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.base / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BackupError(f"Another backup is being made in {self.path}. Wait until it is done.") from error
            for path in self.base.glob(".making-*"):
                shutil.rmtree(path, ignore_errors=True)
            yield


def name_for(at: datetime) -> str:
    """A base backup's name: when it was begun."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
