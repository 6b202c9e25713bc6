"""The journal of a build: what was taken out of the marts and put into them, by which copies of them catch up.

Builds write it (dbt_project/macros/journal.sql, where its tables are described). Here changes get the name of the
version with which they are published first, and what lies between two versions is summed up. Both engines speak this
SQL.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from contracts.warehouse import Mart
from metrics.publication import PublishedVersion, parse_version

_JOURNALS = "staging.journals"


class Connection(Protocol):
    """A DuckDB or PostgreSQL connection on the build."""

    def execute(self, query: Any, /) -> Any:  # noqa: ANN401  # two drivers
        """Run a statement."""
        ...


def journal_of(mart: Mart) -> str:
    """The table of a mart's changes."""
    return f"staging.changes_{mart.value}"


def has_journals(connection: Connection) -> bool:
    """Whether every mart has a journal; a build that dbt did not make has none."""
    row = connection.execute(
        "select count(*) from information_schema.tables where table_schema = 'staging' and table_name in ("
        + ", ".join(f"'changes_{mart.value}'" for mart in Mart)
        + ")"
    ).fetchone()
    return bool(row and row[0] == len(Mart))


def name_changes(connection: Connection, version: str) -> None:
    """Let all changes that no version had yet be those of `version`; the journals of marts made anew begin after it.

    Done before the version is published: if it never is, the next one has these changes too, and no copy misses any.
    """
    for mart in Mart:
        connection.execute(f"update {journal_of(mart)} set change_version = '{version}' where change_version is null")
    connection.execute(f"update {_JOURNALS} set complete_after = '{version}' where complete_after is null")


def newest_name(connection: Connection) -> PublishedVersion | None:
    """The newest version that changes are named after; None where none is."""
    names = " union all ".join(f"select max(change_version) from {journal_of(mart)}" for mart in Mart)
    row = connection.execute(
        f"select max(name) from (select max(complete_after) from {_JOURNALS} union all {names}) as named (name)"
    ).fetchone()
    return parse_version(row[0]) if row and row[0] else None


def is_complete_after(connection: Connection, version: str) -> bool:
    """Whether the journals hold all that happened after `version`."""
    row = connection.execute(
        f"select count(*) from {_JOURNALS} where complete_after <= '{version}' and mart in ("
        + ", ".join(f"'{mart.value}'" for mart in Mart)
        + ")"
    ).fetchone()
    return bool(row and row[0] == len(Mart))


def forget_changes(connection: Connection, version: str) -> None:
    """Forget what happened until `version`: no older copy will ever catch up."""
    for mart in Mart:
        connection.execute(f"delete from {journal_of(mart)} where change_version <= '{version}'")
    connection.execute(f"update {_JOURNALS} set complete_after = '{version}' where complete_after < '{version}'")


def net_changes(mart: Mart, columns: Sequence[str], *, after: str) -> str:
    """Query of the rows that came (`change` 1) or went (-1) after a version."""
    names = ", ".join(columns)
    return (
        f"select {names}, sum(change_weight) as change from {journal_of(mart)} where change_version > '{after}' "
        f"group by {names} having sum(change_weight) <> 0"
    )


def growth_since(connection: Connection, version: str) -> dict[str, int]:
    """By mart: how many rows more than `version` the build has."""
    since = f"change_version is null or change_version > '{version}'"
    sums = ", ".join(f"(select coalesce(sum(change_weight), 0) from {journal_of(mart)} where {since})" for mart in Mart)
    row = connection.execute(f"select {sums}").fetchone()
    return {mart.value: int(growth) for mart, growth in zip(Mart, row, strict=True)}


def row_keys(connection: Connection) -> dict[str, list[str]]:
    """By mart: columns without nulls by which equal rows are looked for."""
    rows = connection.execute(f"select mart, row_key from {_JOURNALS}").fetchall()
    return {mart: keys.split(", ") for mart, keys in rows}


def same_row(left: str, right: str, *, keys: Sequence[str], columns: Sequence[str]) -> str:
    """Condition that two rows are equal; the first parts are those that an engine can hash."""
    equal = [f"{left}.{name} = {right}.{name}" for name in keys]
    rest = [f"{left}.{name} is not distinct from {right}.{name}" for name in columns if name not in keys]
    return " and ".join([*equal, *rest])
