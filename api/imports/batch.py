"""One transaction of an import: what it may use, and what it has to answer for each row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.imports.options import ImportOptions
from api.imports.prepare import PreparedFile
from api.imports.presets import Entity
from api.imports.problems import shown
from api.kernel.unit_of_work import UnitOfWork


class RowResult(StrEnum):
    """What became of a row. Every row has exactly one."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True)
class Line:
    """Where a row stands: which file, which number."""

    file: int
    row: int


@dataclass(frozen=True, kw_only=True)
class ImportRun:
    """What all transactions of one import share."""

    import_id: UUID
    options: ImportOptions
    currency: str
    time_zone: str
    #: The import's own clock: what it learns without a date of its own was learned now.
    learned_at: datetime
    files: Sequence[PreparedFile]


@dataclass
class Batch:
    """One transaction at work. Results, problems and warnings are stored with the rows, or not at all."""

    unit: UnitOfWork
    run: ImportRun
    results: dict[Entity, Counter[RowResult]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    created: dict[str, list[str]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)

    @property
    def organization_id(self) -> UUID:
        """The organization whose rows these are."""
        return self.unit.context.organization_id

    @property
    def options(self) -> ImportOptions:
        """What was asked of the import."""
        return self.run.options

    def count(self, entity: Entity, result: RowResult, *, rows: int = 1) -> None:
        """Count what became of rows."""
        self.results.setdefault(entity, Counter())[result] += rows

    def fail(self, line: Line, column: str, *, value: object, problem: str, fix: str) -> None:
        """Fail a row and say why."""
        self.count(self.run.files[line.file].file.entity, RowResult.FAILED)
        self.report(line, column, value=value, problem=problem, fix=fix)

    def report(self, line: Line, column: str, *, value: object, problem: str, fix: str) -> None:
        """Say what is wrong with a row that is counted already."""
        self.problems.append(
            {
                "id": uuid7(),
                "import_id": self.run.import_id,
                "file_index": line.file,
                "row_number": line.row,
                "field": column,
                "value": shown(value).replace("\0", "\ufffd"),
                "problem": problem,
                "fix": fix,
            }
        )

    def note_created(self, kind: str, names: Sequence[str]) -> None:
        """Remember what was created because rows named it."""
        if names:
            self.created.setdefault(kind, []).extend(names)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Results per entity, ready to be stored."""
        return {
            entity.value: {result.value: n for result, n in count.items()} for entity, count in self.results.items()
        }
