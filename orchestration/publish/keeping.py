"""Versions that stay to be asked again by their names: those with which the last days ended.

A version lasts seconds before a newer one takes its place. The one that was current when a day (UTC) ended is copied
when the first one of another day is published, and goes when the last day that it ended is too long ago.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
from psycopg import sql

from contracts.warehouse import PUBLISHED_SCHEMA, Mart
from metrics.publication import PublishedFolder, PublishedVersion, read_postgres_kept, schema_of


@dataclass(frozen=True)
class Keeping:
    """For how many `days` versions are kept. `forgets` what is kept: raw was rewritten, what it lost stays nowhere."""

    days: int
    forgets: bool = False

    def keep_folder(self, folder: PublishedFolder, current: PublishedVersion | None, *, now: datetime) -> None:
        """Keep the current version where its day has ended, and drop what is too old."""
        if self._is_to_keep(current, now) and current is not None and not folder.is_damaged(current):
            folder.keep(current)
        kept = folder.kept
        for version in self._doomed(kept.versions(), now.date()):
            kept.remove(version)

    def keep_schema(
        self, connection: psycopg.Connection[Any], current: PublishedVersion | None, *, now: datetime
    ) -> None:
        """The same in PostgreSQL, before the transaction that publishes: it copies all marts."""
        with connection.transaction():
            kept = read_postgres_kept(connection)
            if self._is_to_keep(current, now) and current is not None and current not in kept:
                _copy_schema(connection, current)
                kept.append(current)
            for version in self._doomed(kept, now.date()):
                connection.execute(sql.SQL("drop schema if exists {} cascade").format(_name(version)))
                connection.execute(
                    f"delete from {PUBLISHED_SCHEMA}.kept_versions where version = %s", (version.version,)
                )

    def _is_to_keep(self, current: PublishedVersion | None, now: datetime) -> bool:
        is_kept = self.days > 0 and not self.forgets
        return is_kept and current is not None and current.published_at.date() < now.date()

    def _doomed(self, kept: Sequence[PublishedVersion], today: date) -> list[PublishedVersion]:
        """Of the kept versions, oldest first, those that ended none of the last days; each ended those to the next."""
        if self.forgets or self.days == 0:
            return list(kept)
        first = today - timedelta(days=self.days)
        return [old for old, new in pairwise(kept) if new.published_at.date() <= first]


def _name(version: PublishedVersion) -> sql.Identifier:
    return sql.Identifier(schema_of(version))


def _copy_schema(connection: psycopg.Connection[Any], version: PublishedVersion) -> None:
    """Copy all published marts into the schema of a version, as they are: the caller holds the build lock."""
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(_name(version)))
    connection.execute(sql.SQL("create schema {}").format(_name(version)))
    found = connection.execute(
        "select table_name from information_schema.tables where table_schema = %s", (PUBLISHED_SCHEMA,)
    ).fetchall()
    for mart in sorted(mart for (name,) in found if (mart := Mart.named(name)) is not None):
        target = sql.Identifier(schema_of(version), mart.value)
        source = sql.Identifier(PUBLISHED_SCHEMA, mart.value)
        connection.execute(sql.SQL("create table {} (like {} including all)").format(target, source))
        connection.execute(sql.SQL("insert into {} select * from {}").format(target, source))
        connection.execute(sql.SQL("analyze {}").format(target))
    connection.execute(f"insert into {PUBLISHED_SCHEMA}.kept_versions (version) values (%s)", (version.version,))
    grant_reading(connection, schema_of(version))


_READER_ROLE = "sluice_reader"


def grant_reading(connection: psycopg.Connection[Any], schema: str) -> None:
    """Let the group role of readers see a schema's marts, where the server has one."""
    if connection.execute("select 1 from pg_roles where rolname = %s", (_READER_ROLE,)).fetchone() is None:
        return
    names = {"schema": sql.Identifier(schema), "reader": sql.Identifier(_READER_ROLE)}
    connection.execute(sql.SQL("grant usage on schema {schema} to {reader}").format(**names))
    connection.execute(sql.SQL("grant select on all tables in schema {schema} to {reader}").format(**names))
