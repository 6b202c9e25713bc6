"""What can be wrong with a row or a file, said so that a person can mend it."""

from dataclasses import dataclass
from typing import NamedTuple

from api.imports.presets import Entity

_SHOWN = 80


class Problem(NamedTuple):
    """One thing wrong with one row. `row` counts as a spreadsheet does: the headings are row 1."""

    file: str
    entity: Entity
    row: int
    field: str
    value: str
    problem: str
    fix: str


@dataclass(eq=False)  # not frozen: whoever passes an exception on writes to it
class FileProblem(Exception):
    """Something wrong with a whole file: none of its rows can be read."""

    file: str
    problem: str
    fix: str

    def __str__(self) -> str:
        """One sentence for people."""
        return f"{self.file}: {self.problem} {self.fix}"


def shown(value: object) -> str:
    """A value short enough to stand in a message."""
    text = "" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
