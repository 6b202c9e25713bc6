"""F-4: the restore drill. A restored PostgreSQL is older than Kafka and the warehouse, and its positions repeat."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TypeVar
from uuid import UUID

import duckdb
import psycopg
import pytest
from deltalake import DeltaTable

from api.db.migrate import revisions
from contracts.warehouse import RAW_EVENTS
from ingest.epoch import RESTORED_NOTICE, EpochTopic, needs_repair
from ingest.outbox import newest_epoch
from ingest.reconcile import reconcile
from orchestration.instance import open_instance
from orchestration.mart_reconciliation import reconcile_marts
from orchestration.refresh import Refresher
from orchestration.warehouse import Warehouse
from runtime.backup.restore import finish_restore, restore_embedded, restore_into
from runtime.backup.server import BackupError
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.home import Home
from runtime.process import ManagedProcess, free_port
from tests.backup.conftest import Site, Spine, agree, no_progress, running_broker, site_maker
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.factories import PASSWORD, Api, start_api
from tests.ingest.writers import count, insert_events

T = TypeVar("T")

_CONTENT = {
    "events": "select position, event_id, aggregate_version, recorded_at, data from event_log order by position",
    "deals": "select * from deals order by id",
    "users": "select * from users order by id",
    "sessions": "select * from sessions order by id",
}


def _hashes(admin_url: str) -> dict[str, str]:
    """A hash of each table's content."""
    with psycopg.connect(admin_url) as connection:
        return {
            name: hashlib.sha256(repr(connection.execute(query).fetchall()).encode()).hexdigest()
            for name, query in _CONTENT.items()
        }


def _raw_ids(warehouse: Path) -> list[str]:
    files = DeltaTable(str(warehouse / "raw" / RAW_EVENTS)).file_uris()
    with duckdb.connect() as connection:
        return [row[0] for row in connection.read_parquet(files).project("event_id").fetchall()]


def _log_ids(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("select event_id::text from event_log")}


def _call(database: Database, act: Callable[[Api], Awaitable[T]]) -> T:
    """Do something through the API."""

    async def run() -> T:
        api = await start_api(database)
        try:
            return await act(api)
        finally:
            await api.close()

    return asyncio.run(run())


@dataclass
class _Drill:
    """A site that was lost in the middle of its work, and what is known of it."""

    site: Site
    broker: RunningBroker
    at: datetime = field(init=False)
    hashes: dict[str, str] = field(init=False)
    lost: set[str] = field(init=False)
    committed_at: datetime = field(init=False)
    epoch: UUID | None = field(init=False)
    email: str = field(init=False)
    deal_id: str = field(init=False)

    def live_until_the_disaster(self) -> None:
        database, warehouse = self.site.database, self.site.home.warehouse
        spine = Spine.of(database.relay_url, self.broker, warehouse)
        _call(database, self._sign_up)
        (self.site.home.files / "import.csv").write_text("name\nAcme\n")
        with self.site.archived(), spine.flowing():
            self.site.wait_for_backups(1)
            _call(database, self._change("a", "bb"))
            insert_events(database.app_url, 500, seed=4)
            self.at, self.hashes = self.site.now(), _hashes(database.admin_url)
            known = _log_ids(database.relay_url)
            _call(database, self._change("lost", "future!"))
            insert_events(database.app_url, 700, seed=5)
            self.lost = _log_ids(database.relay_url) - known
            spine.wait_until_equal()
            assert self.lost <= set(_raw_ids(warehouse))
            with psycopg.connect(database.relay_url) as connection:
                self.epoch = newest_epoch(connection)
            self.committed_at = self.site.now()
            self.site.wait_until_archived()
            self.site.kill()

    async def _sign_up(self, api: Api) -> None:
        owner = await api.sign_up()
        self.email = owner.email
        pipeline = (await owner.read("/v1/pipelines"))["items"][0]
        self.deal_id = (await owner.made("/v1/deals", json={"pipeline_id": pipeline["id"], "title": "Deal"}))["id"]

    def _change(self, *titles: str) -> Callable[[Api], Awaitable[None]]:
        """Change one deal: each change is a version of it, the same numbers again after a restore."""

        async def act(api: Api) -> None:
            owner = await api.sign_in(self.email, PASSWORD)
            for title in titles:
                answer = await owner.patch(f"/v1/deals/{self.deal_id}", json={"amount_minor": len(title)})
                assert answer.status_code == 200, answer.text

        return act

    def remind_broker(self, spine: Spine) -> None:
        """Other tests may have begun epochs: let the broker say what it said when the site was lost."""
        assert self.epoch is not None
        with closing(EpochTopic.connect(spine.kafka)) as topic:
            topic.write(self.epoch)

    def live_on(self, database: Database, spine: Spine, warehouse: Path) -> int:
        """Write what has the same positions and versions as the lost future, and see only that arrive; how many rows
        of raw are doubles, which models drop."""
        _call(database, self._change("another", "and yet another", "x"))
        with spine.flowing():
            spine.wait_until_equal()
        ids = _raw_ids(warehouse)
        assert self.lost.isdisjoint(ids), "events of the lost future"
        assert set(ids) == _log_ids(spine.url)
        return len(ids) - len(set(ids))


@pytest.fixture(scope="module")
def drill(server_folder: Path) -> Iterator[_Drill]:
    with site_maker(server_folder / "drill") as make_site, running_broker(server_folder) as broker:
        site = make_site()
        site.start()
        made = _Drill(site, broker)
        made.live_until_the_disaster()
        yield made


@pytest.fixture
def lost_site(drill: _Drill, server_folder: Path) -> Site:
    """A copy of the lost home, for a test to restore."""
    home = Home(server_folder / "drill" / "restored")
    shutil.copytree(drill.site.home.path, home.path, ignore=shutil.ignore_patterns("postgres"), copy_function=os.link)
    home.postgres.mkdir(mode=0o700)
    (home.postgres / "the disk is broken").touch()
    return Site(replace(drill.site.stack, home=home))


def test_f4_an_embedded_stack_goes_back_to_an_instant(
    drill: _Drill, lost_site: Site, record_property: Callable[[str, object], None]
) -> None:
    site, spine = lost_site, Spine.of(lost_site.database.relay_url, drill.broker, lost_site.home.warehouse)
    (site.home.files / "import.csv").unlink()
    drill.remind_broker(spine)
    began = monotonic()
    restored = restore_embedded(site.home, site.folder, drill.at, say=print, progress=no_progress, confirm=agree)
    site.start()
    rto = monotonic() - began
    newest = site.folder.reach_of(site.folder.backups()[-1]).end_at
    rpo = max(0.0, (drill.committed_at - newest).total_seconds())
    record_property("rpo_seconds", rpo)
    record_property("rto_seconds", rto)
    print(f"RPO {rpo:.3f} s, RTO {rto:.1f} s: {restored.contents}")
    try:
        assert rpo == 0
        assert _hashes(site.database.admin_url) == drill.hashes
        assert restored.contents.migrations_head == revisions()[-1]
        assert (site.home.files / "import.csv").read_text() == "name\nAcme\n"
        assert sorted(path.name.split(".")[0] for path in restored.kept) == ["postgres", "warehouse"]
        assert drill.lost.isdisjoint(_raw_ids(site.home.warehouse))
        assert drill.live_on(site.database, spine, site.home.warehouse) == 0
        with site.archived():  # the new life has log and base backups of its own
            site.wait_for_backups(2)
            site.wait_until_archived()
        assert [one.manifest.timeline for one in site.folder.backups()] == [1, 2]
    finally:
        site.stop()


@dataclass
class _Elsewhere:
    """A server of one's own, started on a recovered data folder and known by its URLs."""

    database: Database
    spine: Spine
    warehouse: Path


@pytest.fixture
def elsewhere(drill: _Drill, server_folder: Path, tmp_path: Path) -> Iterator[_Elsewhere]:
    target = server_folder / "drill" / f"elsewhere-{tmp_path.name}"
    restore_into(target, drill.site.folder, drill.at, say=print, progress=no_progress, confirm=agree)
    server = EmbeddedPostgres(target, port=free_port(), password=drill.site.stack.secrets.postgres)
    process = ManagedProcess(server.spec(), log_path=tmp_path / "elsewhere.log")
    process.start()
    process.wait_ready()
    warehouse = tmp_path / "warehouse"
    shutil.copytree(drill.site.home.warehouse, warehouse)
    port = drill.site.stack.postgres.port
    urls = {name: str(url).replace(f":{port}/", f":{server.port}/") for name, url in vars(drill.site.database).items()}
    database = Database(**urls)
    spine = Spine.of(database.relay_url, drill.broker, warehouse)
    drill.remind_broker(spine)
    yield _Elsewhere(database, spine, warehouse)
    process.stop()


@pytest.mark.slow
def test_f4_a_server_of_ones_own_goes_back_and_kafka_and_warehouse_follow(drill: _Drill, elsewhere: _Elsewhere) -> None:
    spine = elsewhere.spine
    assert _hashes(elsewhere.database.admin_url) == drill.hashes
    with psycopg.connect(spine.url), pytest.raises(BackupError, match="Stop relay, loader"):
        finish_restore(spine.url, spine.kafka, spine.warehouse, say=print, progress=lambda _done, _total: None)
    assert not drill.lost.isdisjoint(_raw_ids(elsewhere.warehouse))
    finish_restore(spine.url, spine.kafka, spine.warehouse, say=print, progress=lambda _done, _total: None)
    assert drill.lost.isdisjoint(_raw_ids(elsewhere.warehouse))
    assert drill.live_on(elsewhere.database, spine, elsewhere.warehouse) == 0


@pytest.mark.slow
def test_f4_figures_of_the_lost_future_are_gone(drill: _Drill, elsewhere: _Elsewhere, tmp_path: Path) -> None:
    spine = elsewhere.spine
    orchestrated = Warehouse(settings=spine.warehouse, dbt_target_path=tmp_path / "dbt", event_log_url=spine.url)
    with open_instance(tmp_path / "dagster") as instance:
        refresher = Refresher.over(orchestrated, instance)
        assert refresher.refresh_if_due() is True
        figures = reconcile_marts(spine.url, spine.warehouse)
        assert figures.wrong, "the figures count what PostgreSQL has lost"
        finish_restore(spine.url, spine.kafka, spine.warehouse, say=print, progress=lambda _done, _total: None)
        # more than were lost: their number tells nothing
        insert_events(elsewhere.database.app_url, 2 * len(drill.lost), seed=6)
        drill.live_on(elsewhere.database, spine, elsewhere.warehouse)
        assert refresher.refresh_if_due() is True
        refresher.watch.close()
    figures = reconcile_marts(spine.url, spine.warehouse)
    assert (figures.note, figures.wrong, figures.lagging) == (None, [], 0)
    assert figures.figures > 0


def test_f4_a_relay_notices_a_restore_that_nobody_told_it_of(drill: _Drill, elsewhere: _Elsewhere) -> None:
    url = elsewhere.spine.url
    with psycopg.connect(url, autocommit=True) as connection:
        assert newest_epoch(connection) == drill.epoch
        with elsewhere.spine.flowing():
            eventually(lambda: newest_epoch(connection) != drill.epoch, what="a new epoch begins")
            said = f"select count(*) from process_status where detail ->> 'warning' = '{RESTORED_NOTICE}'"
            eventually(lambda: count(url, said) == 1, what="the status says what to do")
        reason = connection.execute("select reason from transport_epoch where epoch = %s", (newest_epoch(connection),))
        assert reason.fetchone() == ("restored",)
        assert needs_repair(connection)
        assert reconcile(url, elsewhere.spine.warehouse, repair=True).extra == len(drill.lost)
        assert not needs_repair(connection)
    drill.live_on(elsewhere.database, elsewhere.spine, elsewhere.warehouse)
