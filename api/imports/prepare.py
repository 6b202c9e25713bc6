"""First pass over an import's files: every cell read and checked, good rows kept as typed chunks on disk.

Depends on the files, the options and the clock of the import alone, so that it gives the same chunks when a job is
taken up again. Whether the things that a row names exist is found out later, in the database.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from api.imports.column_notes import ColumnNotes
from api.imports.files import ImportFile, columns_of, open_file
from api.imports.options import ImportOptions
from api.imports.presets import GENERIC, GROUPED, Column, Entity
from api.imports.problems import Problem, shown
from api.imports.rows import KEY, left_out, row_faults, with_currencies, with_keys, with_whole_cells, with_whole_values
from api.imports.source import Source, SourceRow
from api.imports.values import ReadingRules, clean, read

#: Rows per chunk: of deals and the like one transaction's worth, of histories what reads quickly.
CHUNK_ROWS = 2_000
_HISTORY_CHUNK_ROWS = 50_000
#: Rows that are looked at together: what a look costs by itself is shared by many.
_BLOCK_ROWS = 20_000

ROW, FILE = "_row", "_file"
#: How rows below a table begin that are none of its rows.
_FOOTER = re.compile(
    r"^(?:grand |sub ?|report )?(?:totals?|sums?|summe|gesamt\w*|subtotal|average|count|record count|итого|всего)\b"
    r"|^(?:confidential information|copyright |generated (?:by|on)|filtered by|report generated|as of )"
    r"|^\(?[0-9]+ rows?(?: in set\b.*|\))",
    re.IGNORECASE,
)
#: Cells of a line that is drawn below headings or around a table: by psql, mysql, Markdown.
_DRAWN = re.compile(r"[-+=|:\s]*(?:--|==)[-+=|:\s]*")


@dataclass
class PreparedFile:
    """One file after the first pass. `failed` holds the numbers of rows that are out of the game."""

    file: ImportFile
    source: Source
    positions: Mapping[str, int]
    warnings: list[str] = field(default_factory=list)
    #: What was concluded and could be otherwise, with the reason and the option.
    guesses: list[str] = field(default_factory=list)
    chunks: list[Path] = field(default_factory=list)
    row_count: int = 0
    problems: list[Problem] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    #: Keys (of deals) of rows that were refused.
    refused_keys: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    #: Of a history beside deals: how many of its rows each of theirs holds.
    entries: Counter[int] = field(default_factory=Counter)

    def count(self, rows: set[int]) -> int:
        """How many rows these numbers stand for."""
        return sum(self.entries[row] for row in rows) if self.entries else len(rows)

    def add_problem(self, row: int, column: str, *, value: str, problem: str, fix: str) -> None:
        """Fail a row."""
        self.failed.add(row)
        self.problems.append(Problem(self.file.name, self.file.entity, row, column, shown(value), problem, fix))


def prepare_file(
    index: int, file: ImportFile, *, options: ImportOptions, rules: ReadingRules, folder: Path
) -> PreparedFile:
    """Read and check one file; write its good rows in chunks into `folder`.

    Raises:
        FileProblem: nothing in the file can be read.
    """
    opened = open_file(file, options)
    positions = columns_of(file, opened)
    prepared = PreparedFile(file, opened.source, positions)
    _tell_of_file(prepared, [] if file.beside is not None else opened.matched.ignored)
    notes = ColumnNotes({name: file.columns[name] for name in positions}, ROW)
    size = _HISTORY_CHUNK_ROWS if file.entity in GROUPED else CHUNK_ROWS
    blocks: list[Path] = []
    for number, block in enumerate(_blocks(opened.rows())):
        text = _frame(block, positions, prepared)
        notes.look(text)
        blocks.append(folder / f"{file.entity.value}-{index}-text-{number:06d}.parquet")
        text.write_parquet(blocks[-1], compression="lz4")
    verdicts = notes.verdicts(options)
    prepared.guesses += [f"{file.name}: {name} {one.note}." for name, one in verdicts.items() if one.note]
    prepared.warnings += [f"{file.name}: {words}." for words in notes.words()]
    rules = replace(rules, verdicts=verdicts)
    for block_path in blocks:
        checked = _check(pl.read_parquet(block_path), prepared, rules=rules).with_columns(pl.lit(index).alias(FILE))
        block_path.unlink()
        for start in range(0, max(checked.height, 1), size):
            path = folder / f"{file.entity.value}-{index}-{len(prepared.chunks):06d}.parquet"
            checked.slice(start, size).write_parquet(path, compression="lz4")
            prepared.chunks.append(path)
    prepared.warnings += [f"{file.name}: left out: {count} rows {why}." for why, count in prepared.left_out.items()]
    return prepared


def _tell_of_file(prepared: PreparedFile, ignored: Sequence[str]) -> None:
    name, source = prepared.file.name, prepared.source
    if ignored:
        prepared.warnings.append(f"{name}: not imported: {', '.join(dict.fromkeys(ignored))}.")
    above = [text for text in source.shape.preamble if text]
    if above and prepared.file.beside is None:
        prepared.warnings.append(f"{name}: not read, above the headings: {'; '.join(shown(text) for text in above)}.")
    if source.encoding.reason is not None and prepared.file.beside is None:
        guess = f"the encoding is read as {source.encoding.name}, because {source.encoding.reason}"
        prepared.guesses.append(f"{name}: {guess} (the option encoding says otherwise).")


def _blocks(rows: Iterator[SourceRow]) -> Iterator[list[SourceRow]]:
    while block := list(islice(rows, _BLOCK_ROWS)):
        yield block


def _frame(rows: Sequence[SourceRow], positions: dict[str, int], prepared: PreparedFile) -> pl.DataFrame:
    columns = prepared.file.columns
    good: list[SourceRow] = []
    for row in rows:
        if _is_footer(row, positions, columns.values()):
            first = next(cell.strip() for cell in row.cells if cell.strip())
            prepared.warnings.append(f"{prepared.file.name}: row {row.number} is no record: {shown(first)}.")
            continue
        prepared.row_count += 1
        if prepared.file.beside is not None:
            prepared.entries[row.number] += 1
        if row.problem is None:
            good.append(row)
            continue
        prepared.add_problem(row.number, "", value="", problem=row.problem, fix=row.fix)
        place = positions.get("deal_external_id", positions.get("external_id", len(row.cells)))
        prepared.refused_keys |= {row.cells[place].strip()} if place < len(row.cells) else set()
    cells = {name: [row.cells[place] for row in good] for name, place in positions.items()}
    present = pl.DataFrame(cells, schema=dict.fromkeys(positions, pl.String))
    absent = [pl.lit(None, pl.String).alias(name) for name in columns if name not in positions]
    numbers = pl.Series(ROW, [row.number for row in good], pl.Int64)
    return present.with_columns(numbers, *absent).select(ROW, *columns)


def _is_footer(row: SourceRow, positions: dict[str, int], columns: Iterable[Column]) -> bool:
    """Whether a row sums a table up or signs it, and so lacks what every row must have, or is a line that is drawn."""
    filled = [cell.strip() for cell in row.cells if cell.strip()]
    if filled and all(_DRAWN.fullmatch(cell) for cell in filled):
        return True
    first = next(iter(filled), "")
    if (row.problem is not None and len(row.cells) == 0) or not _FOOTER.match(first):
        return False
    required = [positions[one.name] for one in columns if one.is_required and one.name in positions]
    cells = [row.cells[place].strip() if place < len(row.cells) else "" for place in required]
    return not all(cells) and all(cell in ("", first) for cell in cells)


def _check(frame: pl.DataFrame, prepared: PreparedFile, *, rules: ReadingRules) -> pl.DataFrame:
    entity = prepared.file.entity
    columns = prepared.file.columns
    text = with_whole_cells(frame.with_columns(clean(column) for column in columns.values()), entity)
    text = _without(text, prepared)
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
    values, guesses = with_whole_values(values, text, entity, rules)
    values = with_currencies(values, text, prepared.file.custom, rules)
    prepared.guesses += [f"{prepared.file.name}: {one}" for one in guesses if one not in " ".join(prepared.guesses)]
    return _check_rows(with_keys(values, entity), prepared)


def _without(text: pl.DataFrame, prepared: PreparedFile) -> pl.DataFrame:
    """The rows that count; how many of the others there are, and why, is remembered."""
    for why, condition in left_out(prepared.file.entity):
        count = text.select(condition.fill_null(value=False).sum()).item()
        if count:
            prepared.left_out[why] += count
            prepared.row_count -= count
            text = text.filter(~condition.fill_null(value=False))
    return text


def _check_rows(values: pl.DataFrame, prepared: PreparedFile) -> pl.DataFrame:
    """Checks over several columns of a row; then only rows without any problem are left."""
    if values.is_empty():
        return values
    for fault in row_faults(prepared.file.entity):
        for row, value in values.filter(fault.condition.fill_null(value=False)).select(ROW, fault.column).iter_rows():
            prepared.add_problem(row, fault.column, value=value, problem=fault.problem, fix=fault.fix)
    is_refused = pl.col(ROW).is_in(list(prepared.failed))
    prepared.refused_keys |= set(values.filter(is_refused & pl.col(KEY).is_not_null())[KEY])
    return values.filter(~is_refused)


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


def refused_in(prepared: Sequence[PreparedFile], entities: Collection[Entity]) -> set[str]:
    """Keys of deals of which some row in files of these entities was refused."""
    return set().union(*(one.refused_keys for one in prepared if one.file.entity in entities))


def good_rows(prepared: PreparedFile, chunk: Path) -> pl.DataFrame:
    """A chunk's rows that are still in the game."""
    return pl.read_parquet(chunk).filter(~pl.col(ROW).is_in(list(prepared.failed)))


def good_dicts(prepared: PreparedFile, chunk: Path) -> list[dict[str, Any]]:
    """The same, row by row."""
    return good_rows(prepared, chunk).to_dicts()
