"""The journal of a build: what was taken out of the live marts and put into them, by which copies of them catch up.

Builds write it (dbt_project/macros/journal.sql, where its tables are described). Here changes get the name of the
version with which they are published first, and what lies between two versions is summed up. A settled mart has no
journal: `staging.journals` says after which version it is as it was. Both engines speak this SQL.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.warehouse import Mart, Speed
from metrics.publication import PublishedVersion, parse_version, version_at
from orchestration.build.database import Connection

_JOURNALS = "staging.journals"


@dataclass(frozen=True)
class Built:
    """What is published: how far its events reach, and which marts are others than in the version before."""

    through: datetime | None
    event_count: int
    row_counts: dict[str, int]
    changed: set[Mart]


#: Makes the record of a version.
Describe = Callable[[str, Built], dict[str, Any]]


class DisagreesError(Exception):
    """A copy that caught up is not what the build is."""


def journal_of(mart: Mart) -> str:
    """The table of a live mart's changes."""
    return f"staging.changes_{mart.value}"


def _has_journals(connection: Connection) -> bool:
    """Whether dbt made the build; one made by hand has no journals, and is copied."""
    row = connection.execute(
        "select 1 from information_schema.tables where table_schema = 'staging' and table_name = 'journals'"
    ).fetchone()
    return row is not None


def name_changes(connection: Connection, version: str, marts: Collection[Mart]) -> None:
    """Let all changes of marts that no version had yet be those of `version`; journals of marts made anew begin there.

    Done before the version is published: if it never is, the next one has these changes too, and no copy misses any.
    """
    known = completeness(connection)
    if not known:
        return
    for mart in known:
        if mart in marts and mart.speed is Speed.LIVE:
            statement = f"update {journal_of(mart)} set change_version = '{version}' where change_version is null"
            connection.execute(statement)
    names = ", ".join(f"'{mart.value}'" for mart in marts)
    connection.execute(
        f"update {_JOURNALS} set complete_after = '{version}' where complete_after is null and mart in ({names})"
    )


def next_version(connection: Connection, given: Collection[PublishedVersion], now: datetime) -> PublishedVersion:
    """A name above every one that was given, also to a version that a crash left unpublished."""
    named = newest_name(connection)
    newest = max((version.published_at for version in [*given, *([named] if named else [])]), default=None)
    # names must grow even when the clock was set back
    return version_at(newest + timedelta(microseconds=1) if newest is not None and now <= newest else now)


def how_far(connection: Connection) -> tuple[datetime | None, int]:
    """The newest `recorded_at` in the build, and how many events it counts."""
    through, events = connection.execute(
        f"select max(through), coalesce(sum(event_count), 0) from {Mart.WAREHOUSE_FRESHNESS.value}"
    ).fetchone()
    return through and through.astimezone(UTC), int(events)


def newest_name(connection: Connection) -> PublishedVersion | None:
    """The newest version that changes are named after; None where none is."""
    known = completeness(connection)
    if not known:
        return None
    live = [mart for mart in known if mart.speed is Speed.LIVE]
    names = "".join(f" union all select max(change_version) from {journal_of(mart)}" for mart in live)
    row = connection.execute(
        f"select max(name) from (select max(complete_after) from {_JOURNALS}{names}) as named (name)"
    ).fetchone()
    return parse_version(row[0]) if row and row[0] else None


def completeness(connection: Connection) -> dict[Mart, str | None]:
    """Per built mart, the version after which its journal holds all that happened; None where none is named yet."""
    if not _has_journals(connection):
        return {}
    rows = connection.execute(f"select mart, complete_after from {_JOURNALS}").fetchall()
    return {mart: version for name, version in rows if (mart := Mart.named(name)) is not None}


def changed_marts(connection: Connection, marts: Collection[Mart], *, after: str) -> list[Mart]:
    """Live marts of which the journal names a change after a version."""
    live = [mart for mart in marts if mart.speed is Speed.LIVE]
    if not live:
        return []
    found = connection.execute(
        "select "
        + ", ".join(f"exists (select 1 from {journal_of(mart)} where change_version > '{after}')" for mart in live)
    ).fetchone()
    return [mart for mart, is_changed in zip(live, found, strict=True) if is_changed]


def forget_changes(connection: Connection, version: str) -> None:
    """Forget what happened until `version`: no older copy will ever catch up."""
    known = completeness(connection)
    if not known:
        return
    for mart in known:
        if mart.speed is Speed.LIVE:
            connection.execute(f"delete from {journal_of(mart)} where change_version <= '{version}'")
    connection.execute(f"update {_JOURNALS} set complete_after = '{version}' where complete_after < '{version}'")


def net_changes(mart: Mart, columns: Sequence[str], *, after: str) -> str:
    """Query of the rows that came (`change` 1) or went (-1) after a version."""
    names = ", ".join(columns)
    return (
        f"select {names}, sum(change_weight) as change from {journal_of(mart)} where change_version > '{after}' "
        f"group by {names} having sum(change_weight) <> 0"
    )


def unnamed_growth(mart: Mart) -> str:
    """Query of how many rows more the build has than the newest version that was named for the mart."""
    return f"select coalesce(sum(change_weight), 0) from {journal_of(mart)} where change_version is null"


def row_keys(connection: Connection) -> dict[str, list[str]]:
    """By mart: columns without nulls by which equal rows are looked for."""
    rows = connection.execute(f"select mart, row_key from {_JOURNALS}").fetchall()
    return {mart: keys.split(", ") for mart, keys in rows}


def same_row(left: str, right: str, *, keys: Sequence[str], columns: Sequence[str]) -> str:
    """Condition that two rows are equal; the first parts are those that an engine can hash."""
    equal = [f"{left}.{name} = {right}.{name}" for name in keys]
    rest = [f"{left}.{name} is not distinct from {right}.{name}" for name in columns if name not in keys]
    return " and ".join([*equal, *rest])
