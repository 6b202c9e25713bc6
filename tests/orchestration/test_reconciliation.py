"""G3: PostgreSQL = raw = marts, on both warehouses, whatever was done to raw or to the published figures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import UUID

import dagster as dg
import duckdb
import psycopg
import pytest
from deltalake import DeltaTable

from benchmarks.deal_histories import seed_event_log
from contracts.settings import WarehouseSettings
from ingest.rebuild import rebuild
from metrics.publication import PublishedFolder, is_duckdb, warehouse_folder
from orchestration.build.equality import Fingerprints, fingerprints
from orchestration.reconciliation import Reconciliation, reconcile_all
from orchestration.refresh import Refresher
from orchestration.warehouse import Warehouse
from tests.conftest import Database
from tests.ingest.writers import insert_event, new_id
from tests.warehouse_builder import copied_warehouse, duckdb_warehouse, postgres_warehouse

EVENTS = 600
EXTRA = UUID("01900000-0000-7000-8000-0000000000ff")


@dataclass
class Site:
    """An event log that was delivered long ago, a warehouse, and a refresh loop's parts."""

    database: Database
    warehouse: WarehouseSettings
    refresher: Refresher

    @property
    def url(self) -> str:
        """The warehouse's URL."""
        return self.refresher.warehouse.url

    def rebuild(self) -> int:
        """Make raw anew."""
        return rebuild(self.database.relay_url, self.warehouse)

    def refresh(self) -> Fingerprints:
        """Build and publish what is new; how every mart then is."""
        assert self.refresher.refresh_if_due() is True
        return fingerprints(self.url)

    def reconcile(self, *, repair: bool = False) -> Reconciliation:
        """Compare everything."""
        return reconcile_all(self.database.relay_url, self.warehouse, repair=repair)

    def log(self, query: str) -> list[tuple[object, ...]]:
        """Ask the event log."""
        with psycopg.connect(self.database.relay_url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def event_ids(self, kind: str) -> Iterator[str]:
        """Events of a type, oldest first."""
        rows = self.log(f"select event_id::text from event_log where type = '{kind}' order by position")
        return (str(row[0]) for row in rows)

    def deals(self) -> Iterator[tuple[UUID, UUID, int]]:
        """Organization, deal and newest version of each deal."""
        query = (
            "select organization_id, aggregate_id, max(aggregate_version) from event_log"
            " where aggregate_type = 'deal' group by 1, 2 order by 2"
        )
        for organization_id, deal_id, version in self.log(query):
            assert isinstance(organization_id, UUID)
            assert isinstance(deal_id, UUID)
            yield organization_id, deal_id, int(str(version))

    def change_raw(self, *, delete: str, change: str, rename: str) -> None:
        """Lose one event, falsify the amount of another, and give a third an id that nobody knows."""
        falsified = '{"amount_minor": 1, "currency": "EUR"}'
        if not is_duckdb(self.url):
            with psycopg.connect(self.url) as connection:
                connection.execute("delete from raw.events where event_id = %s", (delete,))
                connection.execute("update raw.events set data = %s where event_id = %s", (falsified, change))
                connection.execute("update raw.events set event_id = %s where event_id = %s", (EXTRA, rename))
            return
        table = DeltaTable(str(warehouse_folder(self.url) / "raw" / "events"))
        table.delete(f"event_id = '{delete}'")
        table.update(updates={"data": f"'{falsified}'"}, predicate=f"event_id = '{change}'")
        table.update(updates={"event_id": f"'{EXTRA}'"}, predicate=f"event_id = '{rename}'")

    def change_published(self, statement: str) -> None:
        """Change what is published behind everybody's back; `{prefix}` goes before a mart's name."""
        if not is_duckdb(self.url):
            with psycopg.connect(self.url) as connection:
                connection.execute(statement.format(prefix="published.").encode())
            return
        folder = PublishedFolder(warehouse_folder(self.url))
        current = folder.current()
        assert current is not None
        with duckdb.connect(str(folder.path_of(current))) as file:
            file.execute(statement.format(prefix=""))


both = pytest.mark.parametrize("site", ["duckdb", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)


@contextmanager
def _site(
    database: Database, warehouse: WarehouseSettings, dbt_target: Path, instance: dg.DagsterInstance
) -> Iterator[Site]:
    orchestrated = Warehouse(settings=warehouse, dbt_target_path=dbt_target, event_log_url=database.relay_url)
    refresher = Refresher.over(orchestrated, instance)
    yield Site(database, warehouse, refresher)
    refresher.watch.close()


@pytest.fixture(scope="module")
def seeded(make_database: Callable[..., Database]) -> str:
    """Name of a database with an event log, to be copied."""
    database = make_database()
    seed_event_log(database.admin_url, events=EVENTS)
    return database.name


@pytest.fixture(scope="module")
def built_folder(
    seeded: str,
    make_database: Callable[..., Database],
    tmp_path_factory: pytest.TempPathFactory,
    dbt_target: Path,
    instance: dg.DagsterInstance,
) -> Path:
    """A DuckDB warehouse over that log, built and published, to be copied."""
    folder = tmp_path_factory.mktemp("built") / "warehouse"
    with _site(make_database(seeded), duckdb_warehouse(folder), dbt_target, instance) as site:
        site.rebuild()
        site.refresh()
    return folder


@pytest.fixture
def unbuilt(
    seeded: str, make_database: Callable[..., Database], tmp_path: Path, dbt_target: Path, instance: dg.DagsterInstance
) -> Iterator[Site]:
    """A site whose warehouse is empty."""
    with _site(make_database(seeded), duckdb_warehouse(tmp_path / "warehouse"), dbt_target, instance) as site:
        yield site


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    seeded: str,
    make_database: Callable[..., Database],
    tmp_path: Path,
    dbt_target: Path,
    instance: dg.DagsterInstance,
) -> Iterator[Site]:
    """A site whose warehouse is built and published."""
    database = make_database(seeded)
    if getattr(request, "param", "duckdb") == "duckdb":
        warehouse = copied_warehouse(request.getfixturevalue("built_folder"), tmp_path / "warehouse")
        with _site(database, warehouse, dbt_target, instance) as site:
            yield site
        return
    warehouse = postgres_warehouse(request.getfixturevalue("warehouse_database"))
    with _site(database, warehouse, dbt_target / "postgres", instance) as site:
        site.rebuild()
        site.refresh()
        yield site


class TestRebuild:
    @both
    def test_w3_twice_rebuilt_every_mart_has_the_same_content(self, site: Site) -> None:
        first = fingerprints(site.url)
        assert first["fct_deals"][0] > 0
        assert site.reconcile().is_clean
        [(total,)] = site.log("select count(*) from event_log")
        assert site.rebuild() == total
        assert site.refresh() == first
        assert site.reconcile().is_clean

    def test_w3_after_a_rebuild_increments_go_on(self, site: Site) -> None:
        organization_id, deal_id, version = next(site.deals())
        with psycopg.connect(site.database.app_url) as connection:
            insert_event(connection, deal_id, version + 1, organization_id=organization_id)
        # the new event waits in the outbox: neither raw nor the marts need it
        found = site.reconcile()
        assert found.is_clean
        assert (found.raw.in_flight, found.marts.lagging) == (1, 1)
        site.rebuild()
        assert site.refresher.refresh_if_due() is True
        assert site.reconcile().is_clean


class TestRepair:
    @both
    def test_g3_what_differs_is_found_repaired_and_gone_from_the_marts(self, site: Site) -> None:
        right = fingerprints(site.url)
        priced = list(islice(site.event_ids("deal.amount.changed"), 2))
        created = next(site.event_ids("deal.created"))
        site.change_raw(delete=created, change=priced[0], rename=priced[1])
        found = site.reconcile()
        assert (found.raw.missing, found.raw.different, found.raw.extra) == (2, 1, 1)
        assert not found.raw.repaired
        assert found.marts.wrong == []  # what is published was built before

        repaired = site.reconcile(repair=True)
        assert not repaired.is_clean
        assert repaired.raw.repaired
        again = site.reconcile()
        assert again.is_clean
        assert again.raw.events == found.raw.events
        assert "rewritten" in (again.marts.note or "")
        assert site.refresh() == right
        final = site.reconcile()
        assert final.is_clean
        assert final.marts.note is None

    def test_g3_marts_of_a_damaged_raw_are_found_wrong_become_right_and_each_organization_hears_of_its_own(
        self, unbuilt: Site
    ) -> None:
        unbuilt.rebuild()
        created = next(unbuilt.event_ids("deal.created"))
        [hurt] = unbuilt.log(f"select organization_id from event_log where event_id = '{created}'")
        priced = unbuilt.log(
            "select event_id::text from event_log where type = 'deal.amount.changed'"
            f" and organization_id = '{hurt[0]}' order by position"
        )
        unbuilt.change_raw(delete=created, change=str(new_id()), rename=str(priced[0][0]))
        unbuilt.refresh()
        found = unbuilt.reconcile()
        assert {one.organization_id for one in found.marts.wrong} == {hurt[0]}
        assert {"events", "stage entries"} <= {one.figure for one in found.marts.wrong}
        [kept] = unbuilt.log(
            "select organization_id, missing, repaired_at from reconciliations where wrong_figures > 0"
        )
        assert kept == (hurt[0], 2, None)
        assert str(hurt[0]) not in found.in_plain_words()

        unbuilt.reconcile(repair=True)
        kept_for_all = unbuilt.log(
            "select missing, wrong_figures, repaired_at is not null from reconciliations order by 1"
        )
        assert kept_for_all == [(0, None, False)] * 9 + [(2, None, True)]
        unbuilt.refresh()
        assert unbuilt.reconcile().is_clean
        kept_for_all = unbuilt.log(
            "select missing, wrong_figures, repaired_at is not null from reconciliations order by 3"
        )
        assert kept_for_all == [(0, 0, False)] * 9 + [(0, 0, True)]


class TestMarts:
    def test_g3_a_cent_too_much_and_a_lost_entry_are_named(self, site: Site) -> None:
        site.change_published(
            "update {prefix}fct_deals set amount_minor = amount_minor + 1"
            " where deal_id = (select max(deal_id::text)::uuid from {prefix}fct_deals where known_to is null)"
            " and known_to is null"
        )
        site.change_published(
            "delete from {prefix}fct_stage_entries where known_to is null"
            " and entered_at = (select min(entered_at) from {prefix}fct_stage_entries where known_to is null)"
        )
        found = site.reconcile()
        assert found.raw.is_clean
        assert not found.is_clean
        [cent] = [one for one in found.marts.wrong if one.figure.startswith("amount of")]
        assert cent.found == cent.expected + 1
        assert "stage entries" in {one.figure for one in found.marts.wrong}
        assert str(cent.organization_id) in str(found)
