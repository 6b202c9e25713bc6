"""Reads versions that are schemas of PostgreSQL: one transaction per session.

In it the version's row is locked against the swap.
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from contracts.warehouse import Mart, Part
from metrics.compile import Compiled
from metrics.dialect import POSTGRES, Dialect
from metrics.errors import TooExpensiveError, VersionGoneError, WarehouseNotReadyError
from metrics.publication import (
    PublishedPart,
    PublishedVersion,
    part_in,
    read_postgres_kept,
    read_postgres_parts,
    read_postgres_version,
    schema_of,
)
from metrics.session import GONE, LACKS, STATEMENT_LIMIT, KeptVersion, Reader, same_in

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PostgresSession:
    """Reads inside one transaction."""

    version: PublishedVersion
    connection: psycopg.Connection[Any]
    dialect: Dialect = POSTGRES

    def part_of(self, mart: Mart) -> PublishedPart:
        """How far the mart's group is, at the mart's speed, in the version that is read."""
        record = read_postgres_parts(self.connection, self.version)
        return part_in(record, Part(mart.group, mart.speed), whole=self.version)

    def fetch(self, statement: Compiled) -> list[tuple[Any, ...]]:
        """Run a statement and answer all its rows."""
        # the text is composed from fragments of ours; values are bound
        return self.connection.execute(statement.sql, statement.values).fetchall()


class PostgresReader:
    """Reads schema `published` of a PostgreSQL warehouse."""

    def __init__(self, url: str, *, pool_size: int = 4) -> None:
        milliseconds = int(STATEMENT_LIMIT.total_seconds() * 1000)
        self._pool = ConnectionPool(
            url,
            min_size=0,
            max_size=pool_size,
            timeout=10,
            open=True,
            kwargs={"options": f"-c TimeZone=UTC -c statement_timeout={milliseconds} -c jit=off"},
        )

    def current(self) -> PublishedVersion:
        """The version in `published.current_version`."""
        with self.session() as session:
            return session.version

    def kept(self) -> list[KeptVersion]:
        """The current version and those of earlier days."""
        with self.session() as session:
            versions = [session.version, *reversed(read_postgres_kept(session.connection))]
            return [KeptVersion(one, read_postgres_parts(session.connection, one)) for one in versions]

    def at(self, version: PublishedVersion, parts: Collection[Part] = ()) -> Reader:
        """A reader of one version, which has a schema of its own."""
        return _KeptPostgresReader(self, same_in(self.kept(), version, parts))

    @contextmanager
    def session(self, kept: PublishedVersion | None = None) -> Iterator[PostgresSession]:
        """A session on the version that is current when it starts, or on a kept one."""
        try:
            with self._pool.connection() as connection, connection.transaction():
                connection.execute("set transaction read only")
                version = read_postgres_version(connection)
                if version is None:
                    raise WarehouseNotReadyError("No version of the warehouse has been published yet.")
                dialect = POSTGRES
                if kept is not None and kept != version:
                    if kept not in read_postgres_kept(connection):
                        raise VersionGoneError(GONE)
                    version, dialect = kept, replace(POSTGRES, schema=schema_of(kept))
                yield PostgresSession(version=version, connection=connection, dialect=dialect)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            # a group whose first build fails has no marts, whatever the others have; a definition may be newer
            _log.warning("not published yet: %s", error)
            raise WarehouseNotReadyError("This part of the warehouse has not been published yet.") from error
        except PoolTimeout as error:
            raise WarehouseNotReadyError("The warehouse cannot be reached.") from error
        except (psycopg.errors.QueryCanceled, psycopg.errors.InsufficientResources) as error:
            raise TooExpensiveError from error

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


@dataclass(frozen=True)
class _KeptPostgresReader:
    """Reads the schema of one version."""

    whole: PostgresReader
    version: PublishedVersion

    def current(self) -> PublishedVersion:
        """The version."""
        return self.version

    @contextmanager
    def session(self) -> Iterator[PostgresSession]:
        """A session on the version."""
        try:
            with self.whole.session(self.version) as session:
                yield session
        except WarehouseNotReadyError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
                raise VersionGoneError(LACKS) from error
            raise

    def close(self) -> None:
        """The whole one's connections are used."""
