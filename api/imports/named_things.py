"""What rows name: users, stages, picklist values. Gathered from the prepared files, so that each is made once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from api.imports.batch import Batch
from api.imports.directory import Directory, sounds_closed
from api.imports.options import Creatable
from api.imports.people import add_users, user_named
from api.imports.pipeline_rows import NamedStage, add_missing_stages
from api.imports.prepare import FILE, ROW, PreparedFile
from api.imports.presets import Entity
from api.picklists.records import add_values
from api.picklists.rules import missing_values
from contracts.stages import StageKind

#: A pipeline's name, if it is said, and a stage's in lower case.
_Place = tuple[str | None, str]

_USER_COLUMNS: Mapping[Entity, str] = {
    Entity.COMPANIES: "owner_email",
    Entity.CONTACTS: "owner_email",
    Entity.DEALS: "owner_email",
    Entity.DEAL_STAGE_HISTORY: "actor_email",
    Entity.DEAL_OWNER_HISTORY: "owner_email",
    Entity.ACTIVITIES: "author_email",
    Entity.NOTES: "author_email",
    Entity.TASKS: "assignee_email",
}
_LABEL_COLUMNS: Sequence[tuple[Entity, str]] = (
    (Entity.COMPANIES, "industry"),
    (Entity.CONTACTS, "source"),
    (Entity.DEALS, "source"),
    (Entity.DEALS, "lost_reason"),
)


@dataclass(frozen=True)
class NamedThings:
    """Names as first written, without repetition; stages in the order in which deals pass them."""

    users: Sequence[str]
    labels: Sequence[tuple[str, str]]
    stages: Sequence[NamedStage]


def gather(files: Sequence[PreparedFile]) -> NamedThings:
    """All names in the good rows of these files."""
    users: dict[str, str] = {}
    for entity, column in _USER_COLUMNS.items():
        users |= {name.lower(): name for name in _distinct(files, entity, column) if name.lower() not in users}
    labels: dict[tuple[str, str], tuple[str, str]] = {}
    for entity, column in _LABEL_COLUMNS:
        labels |= {
            (column, label.lower()): (column, label)
            for label in _distinct(files, entity, column)
            if (column, label.lower()) not in labels
        }
    return NamedThings(list(users.values()), list(labels.values()), _stages(files))


async def add_named_things(batch: Batch, directory: Directory, named: NamedThings) -> None:
    """Make what the organization lacks, as far as the options allow."""
    if batch.options.may_create(Creatable.USERS):
        unknown = [user_named(name) for name in named.users if directory.is_unknown(name)]
        batch.note_created("users", [user.name for user in await add_users(batch, directory, unknown)])
    if batch.options.may_create(Creatable.PICKLISTS):
        values = missing_values(directory.picklists, named.labels)
        add_values(batch.unit, values)
        batch.note_created("picklist values", [f"{value.picklist}: {value.label}" for value in values])
    await add_missing_stages(batch, directory, named.stages)


def scan(files: Sequence[PreparedFile], entity: Entity) -> pl.LazyFrame | None:
    """The good rows of an entity's files; None where there are none."""
    parts = [
        _without(pl.scan_parquet(one.chunks), one.failed) for one in files if one.file.entity is entity and one.chunks
    ]
    return pl.concat(parts) if parts else None


def _without(rows: pl.LazyFrame, failed: set[int]) -> pl.LazyFrame:
    return rows.filter(~pl.col(ROW).is_in(list(failed))) if failed else rows


def _distinct(files: Sequence[PreparedFile], entity: Entity, column: str) -> list[str]:
    rows = scan(files, entity)
    if rows is None:
        return []
    names: list[str] = rows.select(column).drop_nulls().unique(maintain_order=True).collect()[column].to_list()
    return names


def _stages(files: Sequence[PreparedFile]) -> list[NamedStage]:
    """Stages in the order of how far into their paths deals enter them; those without history after the others."""
    deals, history = scan(files, Entity.DEALS), scan(files, Entity.DEAL_STAGE_HISTORY)
    if deals is None:
        return []
    places: list[pl.LazyFrame] = []
    if history is not None:
        pipelines = deals.select(pl.col("external_id").alias("deal_external_id"), "pipeline")
        place = pl.col("stage").cum_count().over("deal_external_id").cast(pl.Float64)
        in_order = history.sort("entered_at", FILE, ROW, maintain_order=True)
        entries = in_order.with_columns(place.alias("_place")).join(pipelines, on="deal_external_id")
        places.append(entries.select("pipeline", "stage", "_place"))
    places.append(deals.select("pipeline", "stage", pl.lit(1e9).alias("_place")))
    # the file's order breaks ties
    ranked = (
        pl.concat(places)
        .group_by("pipeline", "stage", maintain_order=True)
        .agg(pl.col("_place").filter(pl.col("_place") < 1e9).mean().fill_null(1e9).alias("_rank"))
        .sort("_rank", maintain_order=True)
        .collect()
    )
    kinds, closed = _kinds_told(deals)
    return [
        NamedStage(pipeline, stage, kinds.get((pipeline, stage.lower())), (pipeline, stage.lower()) in closed)
        for pipeline, stage in ranked.select("pipeline", "stage").iter_rows()
    ]


def _kinds_told(deals: pl.LazyFrame) -> tuple[dict[_Place, StageKind], set[_Place]]:
    """What deals say of the stages they are in: their kind, by flags or a closing name; or that they are closed."""
    place = [pl.col("pipeline"), pl.col("stage").str.to_lowercase().alias("stage")]
    has_flag = pl.col("is_closed").is_not_null() | pl.col("is_won").is_not_null()
    told = (
        deals.group_by(place)
        .agg(
            pl.col("status").drop_nulls().unique().alias("statuses"),
            has_flag.all().alias("by_flag"),
            (pl.col("closed_at").is_not_null() & pl.col("status").is_null()).any().alias("is_closed"),
        )
        .collect()
    )
    kinds: dict[_Place, StageKind] = {}
    closed: set[_Place] = set()
    for pipeline, stage, statuses, by_flag, is_closed in told.iter_rows():
        if len(statuses) == 1 and (by_flag or sounds_closed(stage)):
            kinds[pipeline, stage] = StageKind(statuses[0])
        elif is_closed:
            closed.add((pipeline, stage))
    return kinds, closed
