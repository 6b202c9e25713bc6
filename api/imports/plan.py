"""The work of one import, cut into steps: each is one transaction of a few thousand rows.

The cut depends on the files and the options alone. So a job that is taken up again skips the steps that are committed.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
from uuid_utils.compat import uuid7

from api.imports.batch import Batch, Line, RowResult
from api.imports.bulk import insert_rows
from api.imports.deal_rows import write_deals
from api.imports.directory import Directory, UnknownNameError, load_directory
from api.imports.named_things import gather, scan
from api.imports.options import Creatable
from api.imports.people import add_users, wish_for
from api.imports.pipeline_rows import add_missing_stages, write_pipelines
from api.imports.prepare import KEY, ROW, PreparedFile, good_rows, hold_back_groups, refuse_duplicates
from api.imports.presets import DEAL_FILES, HISTORIES, Entity
from api.imports.relation_rows import write_companies, write_contacts
from api.imports.user_rows import write_users
from api.models.picklist_value import PicklistValue

Step = Callable[[Batch], Awaitable[None]]
ChunkWriter = Callable[[Batch, Directory, pl.DataFrame], Awaitable[None]]

_DEALS_PER_STEP = 2_000
_PROBLEMS_PER_STEP = 20_000
_UNIQUE = (Entity.PIPELINES, Entity.USERS, Entity.COMPANIES, Entity.CONTACTS, Entity.DEALS)


@dataclass(frozen=True)
class Plan:
    """Steps in order."""

    files: Sequence[PreparedFile]
    steps: Sequence[Step]


def make_plan(files: Sequence[PreparedFile]) -> Plan:
    """Cut the work. Rows that the files alone show to be wrong are failed here."""
    for entity in _UNIQUE:
        refuse_duplicates([one for one in files if one.file.entity is entity])
    _hold_back(files)
    steps: list[Step] = list(_problem_steps(files))
    steps += _whole(files, Entity.PIPELINES, write_pipelines)
    steps += _whole(files, Entity.USERS, write_users)
    steps.append(partial(_add_named_things, files))
    steps += _chunked(files, Entity.COMPANIES, write_companies)
    steps += _chunked(files, Entity.CONTACTS, write_contacts)
    steps += [
        partial(_write_deals_of_chunk, files, number, chunk)
        for number, one in enumerate(files)
        if one.file.entity is Entity.DEALS
        for chunk in range(len(one.chunks))
    ]
    if all(one.is_whole for one in files):
        steps += _late_history(files)
    return Plan(files, steps)


def _hold_back(files: Sequence[PreparedFile]) -> None:
    refused = hold_back_groups(files)
    if not refused:
        return
    for one in files:
        if one.file.entity not in DEAL_FILES:
            continue
        for chunk in one.chunks:
            waiting = good_rows(one, chunk).filter(pl.col(KEY).is_in(list(refused)))
            for (row,) in waiting.select(ROW).iter_rows():
                one.add_problem(
                    row,
                    "",
                    value="",
                    problem="The deal waits: another of its rows has a problem.",
                    fix="Mend that row, then import all rows of the deal together.",
                )


def _problem_steps(files: Sequence[PreparedFile]) -> Iterator[Step]:
    """Store what is wrong with rows, and count each failed row once."""
    for number, one in enumerate(files):
        seen: set[int] = set()
        for start in range(0, len(one.problems), _PROBLEMS_PER_STEP):
            part = one.problems[start : start + _PROBLEMS_PER_STEP]
            fresh = {problem.row for problem in part} - seen
            seen |= fresh
            yield partial(_store_problems, number, start, len(fresh))


async def _store_problems(number: int, start: int, row_count: int, batch: Batch) -> None:
    one = batch.run.files[number]
    batch.count(one.file.entity, RowResult.FAILED, rows=row_count)
    for problem in one.problems[start : start + _PROBLEMS_PER_STEP]:
        batch.report(
            Line(number, problem.row), problem.field, value=problem.value, problem=problem.problem, fix=problem.fix
        )


def _whole(files: Sequence[PreparedFile], entity: Entity, write: ChunkWriter) -> list[Step]:
    return [partial(_write_whole, files, entity, write)] if scan(files, entity) is not None else []


async def _write_whole(files: Sequence[PreparedFile], entity: Entity, write: ChunkWriter, batch: Batch) -> None:
    rows = scan(files, entity)
    if rows is not None:
        await write(batch, await _directory(batch), rows.collect())


def _chunked(files: Sequence[PreparedFile], entity: Entity, write: ChunkWriter) -> list[Step]:
    return [
        partial(_write_chunk, one, chunk, write)
        for one in files
        if one.file.entity is entity
        for chunk in range(len(one.chunks))
    ]


async def _write_chunk(one: PreparedFile, chunk: int, write: ChunkWriter, batch: Batch) -> None:
    await write(batch, await _directory(batch), good_rows(one, one.chunks[chunk]))


async def _write_deals_of_chunk(files: Sequence[PreparedFile], number: int, chunk: int, batch: Batch) -> None:
    deals = good_rows(files[number], files[number].chunks[chunk])
    await write_deals(batch, await _directory(batch), deals, histories=_history_of(files, deals["external_id"]))


def _history_of(files: Sequence[PreparedFile], external_ids: pl.Series) -> dict[Entity, pl.DataFrame]:
    keys = pl.LazyFrame({KEY: external_ids})
    found: dict[Entity, pl.DataFrame] = {}
    for entity in HISTORIES:
        rows = scan(files, entity)
        if rows is not None:
            found[entity] = rows.join(keys, on=KEY, how="semi").collect()
    return found


def _late_history(files: Sequence[PreparedFile]) -> list[Step]:
    """History of deals that this import's own deals files do not hold: they must be known already."""
    histories = [rows for entity in HISTORIES if (rows := scan(files, entity)) is not None]
    if not histories:
        return []
    keys = pl.concat([rows.select(KEY) for rows in histories]).unique(maintain_order=True)
    deals = scan(files, Entity.DEALS)
    if deals is not None:
        keys = keys.join(deals.select(KEY), on=KEY, how="anti", maintain_order="left")
    late = keys.collect()
    return [
        partial(_write_late_history, files, late[KEY].slice(start, _DEALS_PER_STEP))
        for start in range(0, late.height, _DEALS_PER_STEP)
    ]


async def _write_late_history(files: Sequence[PreparedFile], external_ids: pl.Series, batch: Batch) -> None:
    await write_deals(batch, await _directory(batch), None, histories=_history_of(files, external_ids))


async def _add_named_things(files: Sequence[PreparedFile], batch: Batch) -> None:
    named, directory = gather(files), await _directory(batch)
    if batch.options.may_create(Creatable.USERS):
        unknown = [wish_for(name) for name in named.users if _is_unknown(directory, name)]
        batch.note_created("users", [user.name for user in await add_users(batch, directory, unknown)])
    if batch.options.may_create(Creatable.PICKLISTS):
        await _add_labels(batch, directory, named.labels)
    await add_missing_stages(batch, directory, named.stages)


async def _add_labels(batch: Batch, directory: Directory, labels: Sequence[tuple[str, str]]) -> None:
    missing = [(picklist, label) for picklist, label in labels if (picklist, label.lower()) not in directory.picklists]
    rows = [
        {"organization_id": batch.organization_id, "id": uuid7(), "picklist": picklist, "label": label}
        for picklist, label in missing
    ]
    await insert_rows(batch.session, PicklistValue, rows)
    batch.note_created("picklist values", [f"{picklist}: {label}" for picklist, label in missing])


def _is_unknown(directory: Directory, name: str) -> bool:
    try:
        return directory.find_user(name) is None
    except UnknownNameError:
        return False


async def _directory(batch: Batch) -> Directory:
    return await load_directory(batch.session, batch.organization_id, default_pipeline=batch.options.pipeline)


def rows_in(files: Sequence[PreparedFile]) -> dict[Entity, int]:
    """How many rows each entity's files have."""
    totals: dict[Entity, int] = {}
    for one in files:
        totals[one.file.entity] = totals.get(one.file.entity, 0) + one.row_count
    return totals
