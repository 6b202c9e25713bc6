"""The archive process: what it does when it, its slot or its stream is lost."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from runtime.backup.server import SLOT
from tests.backup.conftest import Site, site_maker
from tests.eventually import eventually
from tests.ingest.writers import count, insert_events


@pytest.fixture(scope="module")
def site(server_folder: Path) -> Iterator[Site]:
    with site_maker(server_folder / "archive") as make_site:
        made = make_site()
        made.start()
        yield made


def _receivers(site: Site) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(site.home.backups) in part for part in process.info["cmdline"] or [])
        and "pg_receivewal" in process.info["cmdline"][0]
    ]


def _is_streaming(site: Site) -> bool:
    return (
        count(
            site.database.admin_url, f"select count(*) from pg_replication_slots where active and slot_name = '{SLOT}'"
        )
        == 1
    )


def test_a_killed_stream_goes_on_without_a_gap(site: Site) -> None:
    with site.archived():
        site.wait_for_backups(1)
        for seed in (1, 2):
            insert_events(site.database.app_url, 200, seed=seed)
            for receiver in _receivers(site):
                receiver.kill()
        site.wait_until_archived()
    assert site.folder.reach_of(site.folder.backups()[0]).run.missing is None


def test_a_stream_that_was_killed_before_its_file_was_prepared_goes_on(site: Site) -> None:
    with site.archived():
        site.wait_for_backups(1)
        archive = site.folder.archive_of(site.folder.backups()[-1])
        [partial] = eventually(lambda: [*archive.path.glob("*.partial")], what="a segment is received")
    os.truncate(partial, 8192)
    with site.archived():
        site.wait_until_archived()


def test_what_is_written_while_no_archive_runs_is_fetched_afterwards(site: Site) -> None:
    with site.archived():
        site.wait_for_backups(1)
        eventually(lambda: _is_streaming(site), what="the archive streams")
    at = site.now()
    insert_events(site.database.app_url, 200, seed=3)
    before = len(site.folder.backups())
    with site.archived():
        site.wait_until_archived()
    reach = site.folder.reach_of(site.folder.backups()[-1])
    assert reach.end_at > at
    assert reach.run.missing is None
    assert len(site.folder.backups()) == before


def test_a_gap_is_closed_by_a_new_base_backup(site: Site) -> None:
    with site.archived():
        site.wait_for_backups(1)
        eventually(lambda: _is_streaming(site), what="the archive streams")
    before = len(site.folder.backups())
    with psycopg.connect(site.database.admin_url, autocommit=True) as admin:
        eventually(lambda: not _is_streaming(site), what="the stream has ended")
        admin.execute("select pg_drop_replication_slot(%s)", (SLOT,))
        for _ in range(3):
            admin.execute("select txid_current()")
            admin.execute("select pg_switch_wal()")
            admin.execute("checkpoint")
    insert_events(site.database.app_url, 200, seed=4)
    with site.archived():
        site.wait_for_backups(before + 1)
        at = site.wait_until_archived()
    assert site.folder.reach_of(site.folder.backups()[-1]).end_at > at


def test_secrets_are_kept_from_others_and_files_come_along(site: Site) -> None:
    with site.archived():
        site.wait_for_backups(1)
    backup = site.folder.backups()[-1]
    assert (backup.path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert site.home.backups.joinpath("base", backup.manifest.name).stat().st_mode & 0o077 == 0


def test_the_backup_role_reads_nothing_of_an_organization(site: Site) -> None:
    with psycopg.connect(site.database.backup_url, autocommit=True) as connection:
        for table in ("event_log", "deals", "people", "outbox"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from {table}")


def test_its_report_says_how_far_it_is(site: Site) -> None:
    with site.archived():
        site.wait_for_backups(1)
        query = "select count(*) from process_status where process = 'archive' and state = 'running'"
        eventually(lambda: count(site.database.admin_url, f"{query} and detail ? 'last_backup'") == 1)
