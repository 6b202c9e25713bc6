"""First pass over an import's files: every cell read and checked, good rows kept as typed chunks on disk.

Depends on the files, the options and the clock of the import alone, so that it gives the same chunks when a job is
taken up again. Whether the things that a row names exist is found out later, in the database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import polars as pl

from api.imports.headings import match_headings
from api.imports.options import ImportOptions
from api.imports.presets import DEAL_FILES, GENERIC, HISTORIES, Column, Entity
from api.imports.problems import Problem, shown
from api.imports.source import Source, SourceRow, open_source
from api.imports.values import ReadingRules, clean, minor_units, read

#: Rows per chunk: of deals and the like one transaction's worth, of histories what reads quickly.
_CHUNK_ROWS = 2_000
_HISTORY_CHUNK_ROWS = 50_000

ROW, FILE, KEY = "_row", "_file", "_key"


@dataclass(frozen=True)
class ImportFile:
    """A file of an import, as uploaded."""

    name: str
    entity: Entity
    path: Path


@dataclass
class PreparedFile:
    """One file after the first pass. `failed` holds the numbers of rows that are out of the game."""

    file: ImportFile
    source: Source
    columns: frozenset[str]
    warnings: list[str] = field(default_factory=list)
    chunks: list[Path] = field(default_factory=list)
    row_count: int = 0
    problems: list[Problem] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    #: Keys (of deals) of rows that were refused.
    refused_keys: set[str] = field(default_factory=set)
    is_whole: bool = True

    def add_problem(self, row: int, column: str, *, value: str, problem: str, fix: str) -> None:
        """Fail a row."""
        self.failed.add(row)
        self.problems.append(Problem(self.file.name, self.file.entity, row, column, shown(value), problem, fix))


def prepare_file(
    index: int,
    file: ImportFile,
    *,
    options: ImportOptions,
    rules: ReadingRules,
    currency: str,
    folder: Path,
    limit: int | None = None,
) -> PreparedFile:
    """Read and check one file; write its good rows in chunks into `folder`. `limit` stops after that many rows.

    Raises:
        FileProblem: nothing in the file can be read.
    """
    source, positions, ignored = open_file(file, options)
    prepared = PreparedFile(file, source, frozenset(positions))
    if ignored:
        prepared.warnings.append(f"{file.name}: not imported: {', '.join(ignored)}.")
    rows = source.rows()
    size = _HISTORY_CHUNK_ROWS if file.entity in HISTORIES else _CHUNK_ROWS
    taken = iter(rows) if limit is None else islice(rows, limit)
    for number, chunk in enumerate(_chunks(taken, size)):
        frame = _frame(chunk, positions, prepared)
        checked = _check(frame, prepared, rules=rules, currency=currency).with_columns(pl.lit(index).alias(FILE))
        path = folder / f"{file.entity.value}-{index}-{number:06d}.parquet"
        checked.write_parquet(path, compression="lz4")
        prepared.chunks.append(path)
    prepared.is_whole = next(rows, None) is None
    return prepared


def open_file(file: ImportFile, options: ImportOptions) -> tuple[Source, dict[str, int], list[str]]:
    """How a file is written, where its columns are, and which headings are left out.

    Raises:
        FileProblem: nothing in the file can be read.
    """
    source = open_source(file.name, file.path, options=options)
    mapping = options.map.get(file.entity, {})
    positions, ignored = match_headings(file.name, source.headings, entity=file.entity, mapping=mapping)
    return source, positions, ignored


def _chunks(rows: Iterator[SourceRow], size: int) -> Iterator[list[SourceRow]]:
    while chunk := list(islice(rows, size)):
        yield chunk


def _frame(rows: Sequence[SourceRow], positions: dict[str, int], prepared: PreparedFile) -> pl.DataFrame:
    prepared.row_count += len(rows)
    for row in rows:
        if row.problem is not None:
            prepared.add_problem(row.number, "", value="", problem=row.problem, fix=row.fix)
            place = positions.get("deal_external_id", positions.get("external_id", len(row.cells)))
            prepared.refused_keys |= {row.cells[place].strip()} if place < len(row.cells) else set()
    good = [row for row in rows if row.problem is None]
    cells = {name: [row.cells[place] for row in good] for name, place in positions.items()}
    present = pl.DataFrame(cells, schema=dict.fromkeys(positions, pl.String))
    absent = [pl.lit(None, pl.String).alias(name) for name in GENERIC[prepared.file.entity] if name not in positions]
    numbers = pl.Series(ROW, [row.number for row in good], pl.Int64)
    return present.with_columns(numbers, *absent).select(ROW, *GENERIC[prepared.file.entity])


def _check(frame: pl.DataFrame, prepared: PreparedFile, *, rules: ReadingRules, currency: str) -> pl.DataFrame:
    columns = GENERIC[prepared.file.entity]
    text = frame.with_columns(clean(name) for name in columns)
    readings = {name: read(column, rules) for name, column in columns.items()}
    faults = [
        (name, problem, fix, condition)
        for name, reading in readings.items()
        for condition, problem, fix in reading.faults
    ]
    marks = text.select(condition.fill_null(value=False).alias(str(i)) for i, (*_, condition) in enumerate(faults))
    is_found = marks.select(pl.all().any()).row(0)
    for i, (name, problem, fix, _) in enumerate(faults):
        if not is_found[i]:
            continue
        for row, value in text.filter(marks[str(i)]).select(ROW, name).iter_rows():
            prepared.add_problem(row, name, value=value, problem=problem, fix=fix)
    values = text.with_columns(reading.value.alias(name) for name, reading in readings.items())
    values = _with_money(values, currency).with_columns(_key(prepared.file.entity).alias(KEY))
    if "close_date" in values.columns:
        midnight = pl.col("close_date").cast(pl.Datetime("us"))
        local = midnight.dt.replace_time_zone(rules.time_zone, ambiguous="earliest", non_existent="null")
        values = values.with_columns(local.dt.convert_time_zone("UTC").alias("close_date_starts_at"))
    return _check_rows(values, prepared)


def _with_money(values: pl.DataFrame, currency: str) -> pl.DataFrame:
    if "amount" not in values.columns:
        return values
    known = values.with_columns(pl.col("currency").fill_null(currency).alias("_currency"))
    return known.with_columns(minor_units("amount", "_currency").alias("amount_minor")).drop("_currency")


def _check_rows(values: pl.DataFrame, prepared: PreparedFile) -> pl.DataFrame:
    """Checks over several columns of a row; then only rows without any problem are left."""
    if values.is_empty():
        return values
    for condition, column, problem, fix in _ROW_FAULTS.get(prepared.file.entity, ()):
        for (row,) in values.filter(condition.fill_null(value=False)).select(ROW).iter_rows():
            prepared.add_problem(row, column, value="", problem=problem, fix=fix)
    is_refused = pl.col(ROW).is_in(list(prepared.failed))
    prepared.refused_keys |= set(values.filter(is_refused & pl.col(KEY).is_not_null())[KEY])
    return values.filter(~is_refused)


_ROW_FAULTS: dict[Entity, tuple[tuple[pl.Expr, str, str, str], ...]] = {
    Entity.USERS: (
        (
            pl.col("email").is_null() & pl.col("name").is_null(),
            "email",
            "The row has neither an e-mail address nor a name.",
            "Give one of them.",
        ),
    ),
    Entity.DEALS: (
        (
            pl.col("closed_at") < pl.col("created_at"),
            "closed_at",
            "The deal is closed before it is created.",
            "Check created_at and closed_at.",
        ),
    ),
}


def _key(entity: Entity) -> pl.Expr:
    """What makes two rows of a file speak of the same thing."""

    def lower(name: str) -> pl.Expr:
        return pl.col(name).str.to_lowercase()

    def either(*keys: pl.Expr) -> pl.Expr:
        return pl.coalesce(
            pl.when(key.is_not_null()).then(pl.concat_str(pl.lit(f"{n}:"), key)) for n, key in enumerate(keys)
        )

    name_of_contact = pl.concat_str(lower("name"), pl.lit("\x1f"), lower("company").fill_null(""))
    keys: dict[Entity, pl.Expr] = {
        Entity.PIPELINES: pl.concat_str(lower("pipeline"), pl.lit("\x1f"), lower("stage")),
        Entity.USERS: either(pl.col("email"), lower("name")),
        Entity.COMPANIES: either(pl.col("external_id"), lower("name")),
        Entity.CONTACTS: either(pl.col("external_id"), pl.col("email"), name_of_contact),
        Entity.DEALS: pl.col("external_id"),
    }
    return keys.get(entity, pl.col("deal_external_id") if entity in HISTORIES else pl.lit(None, pl.String))


def refuse_duplicates(prepared: Sequence[PreparedFile]) -> None:
    """Fail every row of one entity's files whose key an earlier row has."""
    chunks = [path for one in prepared for path in one.chunks]
    if not chunks:
        return
    keys = pl.concat([pl.read_parquet(path, columns=[FILE, ROW, KEY]) for path in chunks])
    firsts = keys.group_by(KEY, maintain_order=True).agg(pl.col(ROW).first().alias("_first"), pl.len().alias("_n"))
    again = keys.filter(~pl.col(KEY).is_first_distinct()).join(firsts, on=KEY)
    by_index = {int(one.chunks[0].name.split("-")[-2]): one for one in prepared if one.chunks}
    for index, row, key, first in again.select(FILE, ROW, KEY, "_first").iter_rows():
        name = key.split(":", 1)[-1].replace("\x1f", ", ")
        by_index[index].add_problem(
            row,
            _key_column(prepared[0].file.entity),
            value=name,
            problem=f"The same one already stands in row {first}.",
            fix="Keep one row of each, or give them different ids.",
        )


def _key_column(entity: Entity) -> str:
    first: Column = next(iter(GENERIC[entity].values()))
    return first.name


def hold_back_groups(prepared: Sequence[PreparedFile]) -> set[str]:
    """Keys of deals of which some row was refused: their other rows must wait, else a path would have holes."""
    return set().union(*(one.refused_keys for one in prepared if one.file.entity in DEAL_FILES))


def good_rows(prepared: PreparedFile, chunk: Path) -> pl.DataFrame:
    """A chunk's rows that are still in the game."""
    return pl.read_parquet(chunk).filter(~pl.col(ROW).is_in(list(prepared.failed)))
