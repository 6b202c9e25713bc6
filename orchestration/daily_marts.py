"""Days of the daily marts made anew: what a data engineer does with days whose rows are doubted.

A day that is over changes no more, so making it again gives the same rows. What differs is put right in the build, in
one transaction, and published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from contracts.warehouse import Group, Mart, Part
from orchestration.build.database import Connection, open_build
from orchestration.build.dbt import compile_models
from orchestration.build.lock import build_lock
from orchestration.build.parts import Builder
from orchestration.publish import last_publication, publish
from orchestration.publish.keeping import Keeping
from orchestration.update import held_parts
from orchestration.warehouse import Warehouse

#: Marts with rows for each day, and the day of a row; those of a group are made anew together.
DAILY: Mapping[Group, Mapping[Mart, str]] = {
    Group.SALES: dict.fromkeys(
        (Mart.FUNNEL_DAILY, Mart.PIPELINE_DAILY, Mart.FORECAST_DAILY, Mart.TEAM_PERFORMANCE_DAILY), "day"
    ),
    # how much came through an account, and how much was used, by the day (UTC) of which it is told
    Group.ACCOUNTS: {Mart.FCT_ACCOUNT_DAYS: "cast(timezone('UTC', began_at) as date)"},
    Group.BILLING: {Mart.FCT_USAGE: "cast(timezone('UTC', stamped_at) as date)"},
}


@dataclass(frozen=True)
class MadeAnew:
    """Of a mart's day: how many rows it has, and how many were not as they are now (gone) or are new (came)."""

    rows: int
    gone: int
    came: int


def make_day_anew(
    warehouse: Warehouse, day: date, *, holder: str, group: Group = Group.SALES
) -> Mapping[Mart, MadeAnew]:
    """Compute a day's rows from the facts as they are now; publishes them where any differs and the part is sound.

    Raises:
        BuildBusyError: somebody else writes the build.
        DbtError: the models do not compile.
    """
    with build_lock(warehouse.url, holder=holder, wait_seconds=warehouse.lock_seconds):
        days = DAILY[group]
        queries = compile_models(
            warehouse.settings, [mart.value for mart in days], target_path=warehouse.dbt_target_path
        )
        with open_build(warehouse.url) as build:
            made = {
                mart: _make_anew(build, mart, queries[mart.value], f"{of_row} = date '{day.isoformat()}'")
                for mart, of_row in days.items()
            }
        if any(one.gone or one.came for one in made.values()):
            _publish(warehouse, Part(group, next(iter(days)).speed))
        return made


def _make_anew(build: Connection, mart: Mart, query: str, chosen: str) -> MadeAnew:
    columns = ", ".join(column[0] for column in build.execute(f"select * from {mart.value} limit 0").description)
    build.execute(f"create temporary table anew as select {columns} from (\n{query}\n) as model where {chosen}")
    there = f"select {columns} from {mart.value} where {chosen}"
    gone = _count(build, f"{there} except all select {columns} from anew")
    came = _count(build, f"select {columns} from anew except all {there}")
    if gone or came:
        build.execute(f"delete from {mart.value} where {chosen}")
        build.execute(f"insert into {mart.value} ({columns}) select {columns} from anew")
        # no version is named after which its changes are known: it is published as a whole
        build.execute(f"update staging.journals set complete_after = null where mart = '{mart.value}'")
    rows = _count(build, "select * from anew")
    build.execute("drop table anew")
    return MadeAnew(rows, gone, came)


def _count(build: Connection, query: str) -> int:
    found: Any = build.execute(f"select count(*) from ({query}) as counted").fetchone()
    return int(found[0])


def _publish(warehouse: Warehouse, part: Part) -> None:
    """Publish a part alone; what else is in the build waits for its own update."""
    builder, last = Builder(warehouse.settings, target_path=warehouse.dbt_target_path), last_publication(warehouse.url)
    parts = set(builder.project.parts.values())
    held = held_parts(warehouse.status.read().checks, of=parts)
    if last is None or part in builder.unsound_parts() or part in held:
        return
    publish(
        warehouse.url,
        manifest_hash=last.manifest_hash,
        now=datetime.now(UTC),
        raw_version=last.raw_version,
        unsound=parts - {part},
        kept=Keeping(days=warehouse.settings.warehouse_kept_days),
        checks=last.checks,
    )
