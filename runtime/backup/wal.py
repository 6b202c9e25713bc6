"""Archived write-ahead log: which segments are there, where they end, and until when they reach.

pg_receivewal writes them, the last one as `NAME.partial`. A gap moves all earlier ones into a sub-folder; a segment's
name says where it belongs wherever it lies.
"""

import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runtime.backup.programs import BackupError, run_program

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
