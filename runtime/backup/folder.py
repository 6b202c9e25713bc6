"""The folder of backups: base backups, archived write-ahead log, and the way from them to an instant.

base/<time>/data, files, secrets.json, sluice.json     one base backup; `sluice.json` is written last
wal/<system>-<timeline>/                                archived write-ahead log of one life of one cluster

pg_receivewal writes the log's segments, the last one as `NAME.partial`. A gap moves all earlier ones into a sub-folder;
a segment's name says where it belongs wherever it lies.
"""

import fcntl
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from runtime.backup.server import SUPPORTED_MAJOR, BackupError, run_program

_FORMAT = 1
_SEGMENT = re.compile(r"^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?$")
_END = re.compile(r"lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.*desc: (?:COMMIT|ABORT)\S* (?P<at>\d{4}-\d\d-\d\d [\d:.]+) UTC")
_4_GB = 1 << 32


def parse_lsn(text: str) -> int:
    """Position in the log of `1A/2B3C4D`."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


@dataclass(frozen=True)
class Commit:
    """The last transaction that a piece of log knows."""

    at: datetime
    lsn: int


@dataclass(frozen=True)
class Run:
    """Segments in a row, by number. `missing`: the number of the first that lacks, if later ones are there."""

    segments: dict[int, Path]
    missing: int | None


@dataclass(frozen=True)
class Archive:
    """The archived log of one timeline."""

    path: Path
    timeline: int
    segment_bytes: int

    def name_of(self, segment: int) -> str:
        """File name of a segment."""
        per_id = _4_GB // self.segment_bytes
        return f"{self.timeline:08X}{segment // per_id:08X}{segment % per_id:08X}"

    def segments(self) -> dict[int, Path]:
        """All segments by number: a complete file before a partial one, one after a gap before one set aside."""
        found: dict[int, tuple[bool, bool, Path]] = {}
        for path in self.path.rglob("*"):
            match = _SEGMENT.match(path.name)
            if match is not None and int(match[1], 16) == self.timeline:
                number = int(match[2], 16) * (_4_GB // self.segment_bytes) + int(match[3], 16)
                candidate = (not match[4], path.parent == self.path, path)
                found[number] = max(candidate, found.get(number, candidate))
        return {number: path for number, (_, _, path) in found.items()}

    def last_gap(self) -> int:
        """Number of the last segment before a gap; -1 where there was none."""
        return max((number for number, path in self.segments().items() if path.parent != self.path), default=-1)

    def run_from(self, segment: int) -> Run:
        """The segments in a row from `segment` on."""
        all_of_them = {number: path for number, path in self.segments().items() if number >= segment}
        run: dict[int, Path] = {}
        while segment in all_of_them:
            run[segment] = all_of_them[segment]
            segment += 1
        return Run(run, segment if len(run) < len(all_of_them) else None)

    def last_commit(self, run: Run) -> Commit | None:
        """The last transaction that the run knows; None if it knows none."""
        for number in sorted(run.segments, reverse=True):
            commit = self._last_commit_of(number, run.segments[number])
            if commit is not None:
                return commit
        return None

    def _last_commit_of(self, segment: int, path: Path) -> Commit | None:
        with tempfile.TemporaryDirectory(prefix="sluice-wal-") as folder:
            link = Path(folder) / self.name_of(segment)
            link.symlink_to(path.absolute())  # pg_waldump goes by names, and a partial segment has another
            _, output, lines = run_program("pg_waldump", ["-r", "Transaction", link])
        ends = list(_END.finditer(output))
        if not ends:
            if "could not open file" in "".join(lines):
                raise BackupError(f"{path} cannot be read.")
            return None
        at = datetime.fromisoformat(ends[-1]["at"]).replace(tzinfo=UTC)
        return Commit(at, parse_lsn(ends[-1]["lsn"]))

    def drop_unprepared(self) -> None:
        """Remove a segment's file that was not filled up with zeros yet when pg_receivewal was killed.

        It holds no log so far, and pg_receivewal refuses to go on with a file of such a size for ever.
        """
        for path in self.path.glob("*.partial"):
            if path.stat().st_size not in (0, self.segment_bytes):
                path.unlink()

    def begin_after_gap(self) -> None:
        """Set aside what was archived before a gap, so that pg_receivewal begins anew at its slot's position."""
        segments = self.segments()
        aside = self.path / f"until-{self.name_of(max(segments))}"
        aside.mkdir()
        for path in self.path.iterdir():
            if _SEGMENT.match(path.name):
                path.rename(aside / path.name)

    def forget_before(self, segment: int) -> None:
        """Remove segments that no base backup needs any more."""
        folders = [self.path, *self.path.glob("until-*")]
        for folder in folders:
            code, _, lines = run_program("pg_archivecleanup", [folder, self.name_of(segment)])
            if code != 0:
                raise BackupError(f"Old log in {folder} cannot be removed: {' '.join(lines)}")
            for partial in folder.glob("*.partial"):
                if folder != self.path and partial.name < self.name_of(segment):
                    partial.unlink()
        for folder in folders[1:]:
            if not any(folder.iterdir()):
                folder.rmdir()

    def forget_all(self) -> None:
        """Remove all segments: no base backup needs them. The history stays, so that its number is not used again."""
        for path in [*self.segments().values(), *self.path.rglob("*.partial")]:
            path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a base backup holds. A restore may go to any instant from `finished_at` on."""

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
class Target:
    """Where to stop: `at` an instant, or at the end of the log (None). `backup` and `run` lead there."""

    backup: BaseBackup
    run: Run
    at: datetime | None
    end_at: datetime
    end_lsn: int


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

    def reach_of(self, backup: BaseBackup) -> Target:
        """How far one goes from a base backup: all of its log, or its own end where none was archived."""
        archive, manifest = self.archive_of(backup), backup.manifest
        run = archive.run_from(manifest.start_segment)
        commit = archive.last_commit(run)
        if commit is None or commit.at < manifest.finished_at:
            return Target(backup, run, None, manifest.finished_at, parse_lsn(manifest.end_lsn) - 1)
        return Target(backup, run, None, commit.at, commit.lsn)

    def target(self, at: datetime | None) -> Target:
        """The way to `at`, or to the newest instant there is (None).

        Raises:
            BackupError: there is no backup, or none that leads there.
        """
        backups = self.backups()
        if not backups:
            raise BackupError(f"There is no backup in {self.path}. ./sluice backup makes one.")
        earlier = [backup for backup in backups if at is None or backup.manifest.finished_at <= at]
        if at is not None and not earlier:
            first = backups[0].manifest.finished_at
            raise BackupError(f"{as_text(at)} lies before the first backup, which was finished at {as_text(first)}.")
        chosen = earlier[-1]
        if chosen.manifest.major_version != SUPPORTED_MAJOR:
            raise BackupError(
                f"{chosen.path} is of PostgreSQL {chosen.manifest.server_version}; Sluice restores {SUPPORTED_MAJOR}."
                " Use the release of Sluice that made it."
            )
        reach = self.reach_of(chosen)
        if at is None:
            return reach
        if at >= reach.end_at:
            raise BackupError(self._too_late(reach, at))
        return replace(reach, at=at)

    def _too_late(self, reach: Target, at: datetime) -> str:
        end = as_text(reach.end_at)
        if reach.run.missing is None:
            return f"{as_text(at)} lies after the end of the log, which reaches until {end} (--latest)."
        name = self.archive_of(reach.backup).name_of(reach.run.missing)
        return (
            f"{as_text(at)} cannot be reached: the log segment {name} is missing. From {reach.backup.path} one gets to"
            f" {end}."
        )

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


def as_text(at: datetime) -> str:
    """An instant as people read it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
