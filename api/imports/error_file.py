"""The error file: every failed row as it stood in its file, with what is wrong and what to do.

Its own headings begin with `sluice_`; an import leaves those out, so a mended error file can be imported as it is.
"""

import csv
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from pathlib import Path

from api.edge.cells import guard
from api.imports.files import ImportFile, open_file, with_histories_beside
from api.imports.headings import repeated
from api.imports.options import ImportOptions
from api.imports.problems import FileProblem
from api.imports.source import OWN_HEADING_PREFIX, Source, SourceRow
from api.kernel.unit_of_work import Row

_OWN = tuple(f"{OWN_HEADING_PREFIX}{name}" for name in ("file", "row", "field", "value", "problem", "fix"))
#: A heading, and how many of its text stand before it in its file.
_Heading = tuple[str, int]


async def write_error_file(
    target: Path, problems: AsyncIterator[Row], *, files: Sequence[ImportFile], options: ImportOptions
) -> None:
    """Write the error file: one line per failed row, its problems joined. `problems` come in the order of rows."""
    every = _with_beside(files, options)
    by_file: dict[int, list[Row]] = {}
    async for problem in problems:
        beside = every[problem.file_index].beside
        by_file.setdefault(problem.file_index if beside is None else beside, []).append(problem)
    sources = {index: _source(files[index], options) for index in by_file}
    headings = list(dict.fromkeys(heading for source in sources.values() for heading in _own_headings(source)))
    with target.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*_OWN, *(heading for heading, _ in headings)])
        for index, found in by_file.items():
            source = sources[index]
            rows, names = _Rows(source), repeated(source.headings) if source else []
            found.sort(key=lambda problem: problem.row_number)
            for number, of_row in groupby(found, key=lambda problem: problem.row_number):
                cells = dict(zip(names, rows.find(number), strict=False))
                own = _own_cells(files[index].name, number, list(of_row))
                writer.writerow([*own, *(guard(cells.get(name, "")) for name in headings)])


def _with_beside(files: Sequence[ImportFile], options: ImportOptions) -> Sequence[ImportFile]:
    try:
        return with_histories_beside(files, options)
    except FileProblem:
        return files


def _source(file: ImportFile, options: ImportOptions) -> Source | None:
    """The file as it was read; None where it is gone."""
    try:
        return open_file(file, options).source
    except FileProblem:
        return None


def _own_headings(source: Source | None) -> list[_Heading]:
    named = repeated(source.headings) if source else []
    return [heading for heading in named if not heading[0].startswith(OWN_HEADING_PREFIX)]


class _Rows:
    """Rows of a file by ascending number."""

    def __init__(self, source: Source | None) -> None:
        self._rows = source.rows() if source else iter(())
        self._current: SourceRow | None = None

    def find(self, number: int) -> list[str]:
        """Cells of a row; none where the file is no longer what it was."""
        while self._current is None or self._current.number < number:
            self._current = next(self._rows, None)
            if self._current is None:
                return []
        return self._current.cells if self._current.number == number else []


def _own_cells(name: str, number: int, problems: Sequence[Row]) -> list[str]:
    def joined(values: Sequence[str]) -> str:
        return guard("; ".join(dict.fromkeys(value for value in values if value)))

    return [
        guard(name),
        str(number),
        joined([one.field for one in problems]),
        joined([one.value for one in problems]),
        joined([one.problem for one in problems]),
        joined([one.fix for one in problems]),
    ]
