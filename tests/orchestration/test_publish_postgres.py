import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from contracts.warehouse import Mart
from metrics.publication import read_postgres_version
from orchestration.publish import last_publication, publish

START = datetime(2026, 3, 1, tzinfo=UTC)


def write_build(url: str, number: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create schema if not exists build")
        for mart in Mart:
            connection.execute(f"drop table if exists build.{mart.value}")
            connection.execute(
                f"create table build.{mart.value} as select {number} as build, "
                "timestamptz '2026-03-01 00:00:00+00' as through, 7 as event_count from generate_series(1, 3)"
            )


def read_all(connection: psycopg.Connection) -> tuple[str, set[int]]:
    """The version and what its marts hold, in one transaction as the API's reader has it."""
    with connection.transaction():
        version = read_postgres_version(connection)
        assert version is not None
        builds: set[int] = set()
        for mart in Mart:
            builds |= {row[0] for row in connection.execute(f"select build from published.{mart.value}")}
    return version.version, builds


class TestPublish:
    def test_a_transaction_of_a_reader_sees_one_build(self, warehouse_database: str) -> None:
        write_build(warehouse_database, 0)
        publish(warehouse_database, manifest_hash="m", now=START)
        stop, problems = threading.Event(), list[object]()
        seen: dict[str, set[int]] = {}

        def read_on() -> None:
            with psycopg.connect(warehouse_database, autocommit=True) as connection:
                while not stop.is_set():
                    version, builds = read_all(connection)
                    if len(builds) != 1 or seen.setdefault(version, builds) != builds:
                        problems.append((version, builds))

        readers = [threading.Thread(target=read_on) for _ in range(3)]
        for reader in readers:
            reader.start()
        try:
            for number in range(1, 7):
                write_build(warehouse_database, number)
                publish(warehouse_database, manifest_hash="m", now=START + timedelta(seconds=number))
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        assert not problems
        assert len(seen) > 1
        with psycopg.connect(warehouse_database) as connection:
            assert read_all(connection)[1] == {6}

    def test_the_record_says_what_a_version_was_made_of(self, warehouse_database: str) -> None:
        assert last_publication(warehouse_database) is None
        write_build(warehouse_database, 1)
        published = publish(warehouse_database, manifest_hash="sha256:abc", now=START)
        assert last_publication(warehouse_database) == published
        assert (published.through, published.event_count) == (START, 21)
        assert published.row_counts[Mart.FCT_DEALS.value] == 3

    def test_a_build_without_a_mart_changes_nothing(self, warehouse_database: str) -> None:
        write_build(warehouse_database, 1)
        before = publish(warehouse_database, manifest_hash="m", now=START)
        with psycopg.connect(warehouse_database) as connection:
            connection.execute("drop table build.fct_deals")
        with pytest.raises(psycopg.errors.UndefinedTable, match="fct_deals"):
            publish(warehouse_database, manifest_hash="m", now=START + timedelta(seconds=1))
        assert last_publication(warehouse_database) == before
        with psycopg.connect(warehouse_database) as connection:
            assert read_all(connection)[1] == {1}

    def test_the_readers_role_may_read_what_was_published(self, warehouse_database: str) -> None:
        write_build(warehouse_database, 1)
        with psycopg.connect(warehouse_database, autocommit=True) as connection:
            connection.execute("drop role if exists sluice_reader")
            connection.execute("create role sluice_reader nologin")
            try:
                publish(warehouse_database, manifest_hash="m", now=START)
                connection.execute("set role sluice_reader")
                assert connection.execute("select count(*) from published.fct_deals").fetchone() == (3,)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("select count(*) from build.fct_deals")
            finally:
                connection.execute("reset role")
                connection.execute("drop owned by sluice_reader")
                connection.execute("drop role sluice_reader")
