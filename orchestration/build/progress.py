"""How far each part of the build is, and what is new for it: the table that the dbt project calls `group_progress`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb
import psycopg

from contracts.warehouse import Group, Part, Speed
from metrics.publication import is_duckdb
from orchestration.build.database import Connection, build_path, open_build

_TABLE = "staging.group_progress"


@dataclass(frozen=True)
class Progress:
    """The newest batch that a part has confirmed, how far its events reach, and what its tables were built from.

    It is sound until something begins to write its tables, and again when that succeeded.
    """

    batch: int
    through: datetime | None
    built_from: str
    is_sound: bool


def read_progress(warehouse_url: str) -> dict[Part, Progress]:
    """What each part has confirmed; a part that was never built is not there."""
    if is_duckdb(warehouse_url) and not build_path(warehouse_url).exists():
        return {}
    try:
        with open_build(warehouse_url) as build:
            return progress_of(build)
    except (duckdb.CatalogException, psycopg.errors.UndefinedTable):
        return {}


def progress_of(build: Connection) -> dict[Part, Progress]:
    """The same, over a connection on the build."""
    rows = build.execute(
        f"select group_name, speed, confirmed_batch, confirmed_through, built_from, is_sound from {_TABLE}"
    ).fetchall()
    # an older release's rows, of a group that is no more, say nothing
    return {
        Part(Group(group), Speed(speed)): Progress(*confirmed)
        for group, speed, *confirmed in rows
        if group in set(Group)
    }


def confirm(warehouse_url: str, built_from: Mapping[Part, str]) -> None:
    """Note that parts hold all that is staged."""
    if not built_from:
        return
    values = ", ".join(f"('{part.group}', '{part.speed}', '{origin}')" for part, origin in built_from.items())
    with open_build(warehouse_url) as build:
        build.execute(f"delete from {_TABLE} where {_are(built_from)}")
        build.execute(
            f"insert into {_TABLE} (group_name, speed, confirmed_batch, confirmed_through, built_from, is_sound) "
            "select sound.group_name, sound.speed, newest.batch_id, newest.recorded_at, sound.built_from, true "
            f"from (values {values}) as sound (group_name, speed, built_from) cross join "
            "(select coalesce(max(batch_id), 0) as batch_id, max(recorded_at) as recorded_at from staging.stg_events) "
            "as newest"
        )


def doubt(warehouse_url: str, parts: Collection[Part]) -> None:
    """Note that the tables of parts are about to be written."""
    known = read_progress(warehouse_url)
    if not any(part in known for part in parts):
        return
    with open_build(warehouse_url) as build:
        build.execute(f"update {_TABLE} set is_sound = false where {_are(parts)}")


def _are(parts: Collection[Part]) -> str:
    named = ", ".join(f"('{part.group}', '{part.speed}')" for part in parts)
    return f"(group_name, speed) in ({named})"


def newest_types(build: Connection, *, after: int) -> dict[str, int]:
    """The types of the events in batches after a number, each with its newest batch."""
    rows = build.execute(
        f"select type, max(batch_id) from staging.stg_events where batch_id > {after} group by type"
    ).fetchall()
    return dict(rows)


def is_any(build: Connection, worklists: Collection[str]) -> bool:
    """Whether one of the worklists holds anything."""
    return any(build.execute(f"select 1 from staging.{name} limit 1").fetchone() for name in worklists)
