"""The Delta table of raw events, kept open in this process: a look costs what its log has more than at the look before.

Opening one reads its whole log: some fifty milliseconds with half an hour's commits, and an update looks ten times.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from contracts.warehouse import RAW_GENERATION

#: A table that is brought up to date commit by commit becomes ever slower to ask.
_REOPEN_LOOKS = 25


@dataclass(frozen=True)
class Snapshot:
    """Raw at one version: when it was last rewritten, and a row per file with the statistics that the log states."""

    version: int
    generation: int
    files: pa.Table


@dataclass
class _Kept:
    table: DeltaTable
    snapshot: Snapshot
    commit: tuple[int, int] | None
    looks: int = 0


_lock = threading.Lock()
_kept: dict[Path, _Kept] = {}


def read_snapshot(folder: Path) -> Snapshot | None:
    """The table in a folder as it is now, at the price of two `stat` where nothing is new; None where there is none.

    Raises:
        DeltaError: there is one that cannot be read.
    """
    with _lock:
        kept = _kept.pop(folder, None)
        if kept is not None:
            kept = _brought_up_to_date(folder, kept)
        if kept is None:
            if not DeltaTable.is_deltatable(str(folder)):
                return None
            kept = _keep(folder, DeltaTable(str(folder)))
        _kept[folder] = kept
        return kept.snapshot


def _brought_up_to_date(folder: Path, kept: _Kept) -> _Kept | None:
    """What is kept, as the log is now; None where it is to be opened anew."""
    if kept.commit is None or kept.commit != _commit(folder, kept.snapshot.version):
        return None  # the log was cleaned up, or the table was made anew
    if _commit(folder, kept.snapshot.version + 1) is None:
        return kept
    if kept.looks >= _REOPEN_LOOKS:
        return None
    try:
        kept.table.update_incremental()
    except DeltaError:  # so it says, too, where the log was cleaned up meanwhile
        return None
    return _keep(folder, kept.table, looks=kept.looks + 1)


def _keep(folder: Path, table: DeltaTable, *, looks: int = 0) -> _Kept:
    snapshot = Snapshot(
        version=table.version(),
        generation=table.transaction_version(RAW_GENERATION) or 0,
        files=pa.table(table.get_add_actions(flatten=True)),
    )
    return _Kept(table, snapshot, _commit(folder, snapshot.version), looks)


def _commit(folder: Path, version: int) -> tuple[int, int] | None:
    """What tells a commit's file from another of the same name; None where there is none."""
    try:
        found = (folder / "_delta_log" / f"{version:020d}.json").stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
