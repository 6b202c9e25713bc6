"""The error file: every failed row as it stood in its file, with what is wrong and what to do.

Its own headings begin with `sluice_`; an import leaves those out, so a mended error file can be imported as it is.
"""

import csv
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from pathlib import Path

from api.imports.options import ImportOptions
from api.imports.prepare import ImportFile
from api.imports.problems import FileProblem
from api.imports.source import OWN_HEADING_PREFIX, SourceRow, guard, open_source
from api.kernel.unit_of_work import Row

_OWN = tuple(f"{OWN_HEADING_PREFIX}{name}" for name in ("file", "row", "field", "value", "problem", "fix"))


async def write_error_file(
    target: Path, problems: AsyncIterator[Row], *, files: Sequence[ImportFile], options: ImportOptions
) -> None:
    """Write the error file: one line per failed row, its problems joined. `problems` come in the order of rows."""
    by_file: dict[int, list[Row]] = {}
    async for problem in problems:
        by_file.setdefault(problem.file_index, []).append(problem)
    sources = {index: _source(files[index], options) for index in by_file}
    headings = list(dict.fromkeys(heading for source in sources.values() for heading in source[0]))
    with target.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*_OWN, *headings])
        for index, found in by_file.items():
            names, rows = sources[index]
            for number, of_row in groupby(found, key=lambda problem: problem.row_number):
                cells = dict(zip(names, rows.find(number), strict=False))
                own = _own_cells(files[index].name, number, list(of_row))
                writer.writerow([*own, *(guard(cells.get(name, "")) for name in headings)])


class _Rows:
    """Rows of a file by ascending number."""

    def __init__(self, file: ImportFile, options: ImportOptions) -> None:
        self._rows = open_source(file.name, file.path, options=options).rows()
        self._current: SourceRow | None = None

    def find(self, number: int) -> list[str]:
        """Cells of a row; none where the file is no longer what it was."""
        while self._current is None or self._current.number < number:
            self._current = next(self._rows, None)
            if self._current is None:
                return []
        return self._current.cells if self._current.number == number else []


def _source(file: ImportFile, options: ImportOptions) -> tuple[Sequence[str], _Rows]:
    try:
        headings = open_source(file.name, file.path, options=options).headings
    except FileProblem:
        return (), _NoRows()
    return [heading for heading in headings if not heading.startswith(OWN_HEADING_PREFIX)], _Rows(file, options)


class _NoRows(_Rows):
    """A file that is gone."""

    def __init__(self) -> None:
        self._rows = iter(())
        self._current = None


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
