"""The work of one import, cut into steps: each is one transaction of a few thousand rows.

The cut depends on the files and the options alone. So a job that is taken up again skips the steps that are committed.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from api.imports.activity_rows import write_activities, write_tasks
from api.imports.batch import Batch, Line, RowResult
from api.imports.deal_rows import DealFrames, write_deals
from api.imports.directory import Directory
from api.imports.line_rows import write_lines
from api.imports.named_things import add_named_things, gather, scan
from api.imports.pipeline_rows import write_pipelines
from api.imports.prepare import (
    CHUNK_ROWS,
    FILE,
    ROW,
    PreparedFile,
    good_dicts,
    good_rows,
    refuse_duplicates,
    refused_in,
)
from api.imports.presets import DEAL_FILES, DOINGS, HISTORIES, Entity
from api.imports.problems import Problem
from api.imports.product_rows import write_products
from api.imports.relation_rows import write_companies, write_contacts
from api.imports.rows import KEY
from api.imports.user_rows import write_users

_DEALS_PER_STEP = 2_000
_PROBLEMS_PER_STEP = 20_000
_UNIQUE = (Entity.PIPELINES, Entity.USERS, Entity.PRODUCTS, Entity.COMPANIES, Entity.CONTACTS, Entity.DEALS, *DOINGS)


@dataclass(frozen=True)
class Step:
    """One transaction: what is read from disk before it begins, in a thread, and what then writes that."""

    read: Callable[[], Any]
    write: Callable[[Batch, Directory, Any], Awaitable[None]]


@dataclass(frozen=True)
class Plan:
    """Steps in order."""

    files: Sequence[PreparedFile]
    steps: Sequence[Step]


def make_plan(files: Sequence[PreparedFile], *, at_most: int | None = None) -> Plan:
    """Cut the work. Rows that the files alone show to be wrong are failed here.

    `at_most`: only about so many rows of each entity, for a preview; what rows name is gathered from all of them.
    """
    for entity in _UNIQUE:
        refuse_duplicates([one for one in files if one.file.entity is entity])
    for belonging, waiting in ((DEAL_FILES, "The deal waits"), ((Entity.DEAL_LINE_ITEMS,), "The deal's lines wait")):
        _hold_back(files, belonging, waiting)
    steps: list[Step] = list(_problem_steps(files))
    for entity, write in ((Entity.PIPELINES, write_pipelines), (Entity.USERS, write_users)):
        rows = scan(files, entity)
        steps += [Step(rows.collect, write)] if rows is not None else []
    steps += [Step(partial(good_rows, *chunk), write_products) for chunk in _chunks(files, Entity.PRODUCTS)]
    steps.append(Step(partial(gather, files), add_named_things))
    companies, contacts, deals = (
        list(_chunks(files, entity)) for entity in (Entity.COMPANIES, Entity.CONTACTS, Entity.DEALS)
    )
    most = None if at_most is None else -(-at_most // CHUNK_ROWS)
    steps += [Step(partial(good_dicts, *chunk), write_companies) for chunk in companies[:most]]
    steps += [Step(partial(good_dicts, *chunk), write_contacts) for chunk in contacts[:most]]
    steps += [Step(partial(_deals_of, files, *chunk), write_deals) for chunk in deals[:most]]
    steps += _late_history(files)[:most]
    steps += _lines(files)[:most]
    for entity in DOINGS:
        write_doings = write_tasks if entity is Entity.TASKS else write_activities
        steps += [Step(partial(good_rows, *chunk), write_doings) for chunk in list(_chunks(files, entity))[:most]]
    return Plan(files, steps)


def rows_in(files: Sequence[PreparedFile]) -> dict[Entity, int]:
    """How many rows each entity's files have."""
    totals: dict[Entity, int] = {}
    for one in files:
        totals[one.file.entity] = totals.get(one.file.entity, 0) + one.row_count
    return totals


def _hold_back(files: Sequence[PreparedFile], belonging: Collection[Entity], waiting: str) -> None:
    """Of a deal of which some row was refused the others wait, else its path or its list of lines would have holes."""
    refused = refused_in(files, belonging)
    if not refused:
        return
    for one in files:
        if one.file.entity not in belonging:
            continue
        for chunk in one.chunks:
            held = good_rows(one, chunk).filter(pl.col(KEY).is_in(list(refused)))
            for (row,) in held.select(ROW).iter_rows():
                one.add_problem(
                    row,
                    "",
                    value="",
                    problem=f"{waiting}: another of its rows has a problem.",
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
            yield Step(partial(list, part), partial(_store_problems, number, one.count(fresh)))


async def _store_problems(
    number: int, row_count: int, batch: Batch, _directory: Directory, problems: Sequence[Problem]
) -> None:
    batch.count(batch.run.files[number].file.entity, RowResult.FAILED, rows=row_count)
    for one in problems:
        batch.report(Line(number, one.row), one.field, value=one.value, problem=one.problem, fix=one.fix)


def _chunks(files: Sequence[PreparedFile], entity: Entity) -> Iterator[tuple[PreparedFile, Path]]:
    return ((one, chunk) for one in files if one.file.entity is entity for chunk in one.chunks)


def _deals_of(files: Sequence[PreparedFile], one: PreparedFile, chunk: Path) -> DealFrames:
    deals = good_rows(one, chunk)
    lines = scan(files, Entity.DEAL_LINE_ITEMS)
    keys = deals.lazy().select(KEY)
    lined = set(lines.select(KEY).join(keys, on=KEY, how="semi").collect()[KEY]) if lines is not None else set()
    return DealFrames(deals, _history_of(files, deals["external_id"]), frozenset(lined))


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
    late = keys.collect()[KEY]
    parts = (late.slice(start, _DEALS_PER_STEP) for start in range(0, late.len(), _DEALS_PER_STEP))
    return [Step(partial(_late_deals_of, files, part), write_deals) for part in parts]


def _lines(files: Sequence[PreparedFile]) -> list[Step]:
    """Lines of deals, all those of a deal together."""
    rows = scan(files, Entity.DEAL_LINE_ITEMS)
    if rows is None:
        return []
    keys = rows.select(KEY).unique(maintain_order=True).collect()[KEY]
    parts = (keys.slice(start, _DEALS_PER_STEP) for start in range(0, keys.len(), _DEALS_PER_STEP))
    return [Step(partial(_lines_of, rows, part), write_lines) for part in parts]


def _lines_of(rows: pl.LazyFrame, external_ids: pl.Series) -> pl.DataFrame:
    keys = pl.LazyFrame({KEY: external_ids})
    return rows.join(keys, on=KEY, how="semi").sort(FILE, ROW).collect()


def _late_deals_of(files: Sequence[PreparedFile], external_ids: pl.Series) -> DealFrames:
    return DealFrames(None, _history_of(files, external_ids))
