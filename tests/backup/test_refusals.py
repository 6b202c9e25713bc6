"""Backups that cannot be restored as asked: a sentence says why, and nothing is lost."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.backup.folder import BackupFolder, BaseBackup
from runtime.backup.restore import restore_embedded, restore_into
from runtime.backup.server import BackupError
from runtime.home import Home
from runtime.stack import Stack, StackError
from tests.backup.conftest import Site, agree, no_progress, site_maker
from tests.ingest.writers import insert_events


class _Lived(NamedTuple):
    site: Site
    between: datetime  # after the second backup, before the last write
    middle: datetime  # after the first backup, before the second


@pytest.fixture(scope="module")
def lived(server_folder: Path) -> Iterator[_Lived]:
    """A stopped site with two base backups and several segments of log."""
    with site_maker(server_folder / "refusals") as make_site:
        site = make_site()
        site.start()
        with site.archived(backup_every_hours=24):
            site.wait_for_backups(1)
            insert_events(site.database.app_url, 300, seed=1)
            middle = site.wait_until_archived()
        with site.archived(backup_every_hours=1e-9):
            site.wait_for_backups(2)
        with site.archived():
            insert_events(site.database.app_url, 300, seed=2)
            between = site.wait_until_archived()
            insert_events(site.database.app_url, 300, seed=3)
            site.wait_until_archived()
        site.stop()
        yield _Lived(site, between, middle)


@pytest.fixture
def folder(lived: _Lived, tmp_path: Path) -> BackupFolder:
    """A copy of the backups, to be spoiled: of links, so a file is replaced and never written to."""
    shutil.copytree(lived.site.home.backups, tmp_path / "backups", copy_function=os.link)
    return BackupFolder(tmp_path / "backups")


@pytest.fixture
def refused(lived: _Lived, folder: BackupFolder) -> Callable[[datetime | None], str]:
    """Try to restore; answers what was said, having looked that nothing changed."""

    def attempt(at: datetime | None) -> str:
        home = lived.site.home
        before = _names(home)
        with pytest.raises(BackupError) as raised:
            restore_embedded(home, folder, at, say=print, progress=no_progress, confirm=agree)
        assert _names(home) == before
        assert (home.postgres / "PG_VERSION").exists()
        return str(raised.value)

    return attempt


Refused = Callable[[datetime | None], str]


def _first(folder: BackupFolder) -> BaseBackup:
    return folder.backups()[0]


def test_an_instant_before_the_first_backup(refused: Refused, folder: BackupFolder) -> None:
    said = refused(_first(folder).manifest.finished_at - timedelta(seconds=1))
    assert "lies before the first backup" in said


def test_an_instant_after_the_last_log(refused: Refused, folder: BackupFolder) -> None:
    end = folder.reach_of(folder.backups()[-1]).end_at
    said = refused(end + timedelta(seconds=1))
    assert "lies after the end of the log" in said
    assert "--latest" in said


def test_a_flipped_byte_in_the_base_backup(lived: _Lived, refused: Refused, folder: BackupFolder) -> None:
    _flip(next((folder.backups()[-1].data / "base").rglob("1259")), 5000)
    assert "checksum mismatch" in refused(lived.between)


def test_a_lost_file_of_the_base_backup(lived: _Lived, refused: Refused, folder: BackupFolder) -> None:
    (folder.backups()[-1].data / "global" / "pg_filenode.map").unlink()
    assert "is damaged" in refused(lived.between)


def test_a_missing_segment_is_named_and_so_is_what_can_be_reached(
    lived: _Lived, refused: Refused, folder: BackupFolder
) -> None:
    _forget_newest_backups(folder)
    archive = folder.archive_of(_first(folder))
    numbers = sorted(archive.segments())
    missing = numbers[numbers.index(_first(folder).manifest.start_segment) + 1]
    archive.segments()[missing].unlink()
    said = refused(lived.between)
    assert f"the log segment {archive.name_of(missing)} is missing" in said
    assert "one gets to" in said


@pytest.mark.parametrize("to_the_end", [True, False])
def test_a_damaged_segment_does_not_pass_for_the_end_of_the_log(
    lived: _Lived, refused: Refused, folder: BackupFolder, to_the_end: bool
) -> None:
    _forget_newest_backups(folder)
    archive = folder.archive_of(_first(folder))
    start = _first(folder).manifest.start_segment
    _flip(archive.segments()[start + 1], 20_000)
    assert "The archived log is damaged" in refused(None if to_the_end else lived.between)


def test_another_major_version(lived: _Lived, refused: Refused, folder: BackupFolder) -> None:
    newest = folder.backups()[-1]
    content = json.loads((newest.path / "sluice.json").read_text()) | {"server_version": "17.2"}
    (newest.path / "sluice.json").unlink()
    (newest.path / "sluice.json").write_text(json.dumps(content))
    assert "is of PostgreSQL 17.2; Sluice restores 18" in refused(lived.between)


def test_a_full_disk(lived: _Lived, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("runtime.backup.recovery.shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    assert "1 MB are free" in refused(lived.between)


def test_no_backup_at_all(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="There is no backup"):
        BackupFolder(tmp_path).target(None)


def test_a_running_stack(lived: _Lived, folder: BackupFolder) -> None:
    home = lived.site.home
    with lived.site.stack.lock(), pytest.raises(StackError, match="already runs"):
        restore_embedded(home, folder, None, say=print, progress=no_progress, confirm=agree)


def test_a_folder_that_is_not_empty(folder: BackupFolder, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").touch()
    with pytest.raises(BackupError, match="is not empty"):
        restore_into(tmp_path / "target", folder, None, say=print, progress=no_progress, confirm=agree)
    assert (tmp_path / "target" / "mine").exists()


def test_a_person_who_says_no(lived: _Lived, folder: BackupFolder) -> None:
    def refuse(_aim: object) -> None:
        raise BackupError("Nothing was changed.")

    home = lived.site.home
    with pytest.raises(BackupError, match="Nothing was changed"):
        restore_embedded(home, folder, lived.middle, say=print, progress=no_progress, confirm=refuse)
    assert (home.postgres / "PG_VERSION").exists()


def test_an_interrupted_swap_is_not_taken_for_an_empty_home(lived: _Lived, tmp_path: Path) -> None:
    home = replace(lived.site.home, path=tmp_path)
    home.unfinished_restore.write_text("before-restore-20260501T093000Z")
    with pytest.raises(StackError, match="restore was interrupted"):
        Stack(home, lived.site.stack.ports, lived.site.stack.secrets).check_restore()


def test_pruning_keeps_what_the_kept_backups_need(lived: _Lived, folder: BackupFolder) -> None:
    total = len(folder.backups())
    newest = folder.backups()[-1]
    gone = folder.prune(1)
    assert len(gone) == total - 1
    assert folder.backups() == [newest]
    archive = folder.archive_of(newest)
    assert min(archive.segments()) == newest.manifest.start_segment
    assert folder.target(lived.between).backup == newest


def test_half_a_backup_is_none(folder: BackupFolder) -> None:
    before = folder.backups()
    (before[-1].path / "sluice.json").unlink()
    (before[-1].path / "sluice.json").write_text('{"format": 1')
    (folder.base / ".making-20260501T093000.000000Z").mkdir()
    assert folder.backups() == before[:-1]
    with folder.sole_writer(), pytest.raises(BackupError, match="Another backup"), folder.sole_writer():
        pass
    assert not list(folder.base.glob(".making-*"))


def _forget_newest_backups(folder: BackupFolder) -> None:
    for backup in folder.backups()[1:]:
        shutil.rmtree(backup.path)


def _names(home: Home) -> set[str]:
    return {path.name for path in home.path.iterdir()} - {home.lock_file.name}


def _flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.unlink()
    path.write_bytes(content)
