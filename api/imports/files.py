"""An import's files: what each one's rows are, where its columns stand, and the history that a deals file holds beside.

A deals file with columns such as "Date entered Proposal" speaks of two things; its history counts as a file of its own,
after all others, with the same row numbers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from api.imports.custom_columns import CustomColumn
from api.imports.headings import Matched, Meaning, match_headings
from api.imports.options import ImportOptions
from api.imports.presets import GENERIC, Column, Entity
from api.imports.source import Source, SourceRow, open_source

_IN_BRACKETS = re.compile(r"^(?P<stage>.*\S)\s*\((?P<pipeline>[^()]+)\)$")


@dataclass(frozen=True)
class ImportFile:
    """A file of an import, as uploaded; `beside`: the file of deals whose columns hold this history."""

    name: str
    entity: Entity
    path: Path
    beside: int | None = None
    #: The custom fields that its rows may fill.
    custom: tuple[CustomColumn, ...] = ()

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every column that its rows can have."""
        return {**GENERIC[self.entity], **{one.name: one.column for one in self.custom}}


@dataclass(frozen=True)
class Opened:
    """A file that can be read: how it is written, and what its headings mean."""

    source: Source
    matched: Matched

    def rows(self) -> Iterator[SourceRow]:
        """Its rows."""
        return self.source.rows()


@dataclass(frozen=True)
class OpenedBeside(Opened):
    """The history beside a file's deals: a row for each date of a stage that a row has."""

    def rows(self) -> Iterator[SourceRow]:
        """Deal, stage and instant, with the number of the deal's row."""
        positions, entered = self.matched.positions, self.matched.stages_entered
        for row in self.source.rows():
            if row.problem is not None:
                continue  # told of with the deal
            pipeline = row.cells[positions["pipeline"]].strip() if "pipeline" in positions else ""
            for stage, place in entered.items():
                name = _stage_in(stage, pipeline)
                if name is not None and row.cells[place].strip():
                    yield SourceRow(row.number, [row.cells[positions["external_id"]], name, row.cells[place]])


def open_file(file: ImportFile, options: ImportOptions) -> Opened:
    """How a file is written, and what its headings mean.

    Raises:
        FileProblem: nothing in the file can be read.
    """
    entity = Entity.DEALS if file.beside is not None else file.entity
    meaning = Meaning(entity, options.preset, options.map.get(entity, {}), file.custom)
    source = open_source(file.name, file.path, options=options, recognise=meaning.recognise)
    matched = match_headings(file.name, source.headings, meaning)
    return OpenedBeside(source, matched) if file.beside is not None else Opened(source, matched)


def with_histories_beside(files: Sequence[ImportFile], options: ImportOptions) -> list[ImportFile]:
    """Files, and the histories that deals files hold in columns of their own.

    Raises:
        FileProblem: a deals file cannot be read.
    """
    beside = [
        replace(file, entity=Entity.DEAL_STAGE_HISTORY, beside=number, custom=())
        for number, file in enumerate(files)
        if file.entity is Entity.DEALS and open_file(file, options).matched.stages_entered
    ]
    return [*files, *beside]


def columns_of(file: ImportFile, opened: Opened) -> dict[str, int]:
    """Where each column stands in the rows of an opened file."""
    if file.beside is not None:
        return {"deal_external_id": 0, "stage": 1, "entered_at": 2}
    return dict(opened.matched.positions)


def _stage_in(stage: str, pipeline: str) -> str | None:
    """The stage's name without its pipeline's; None where that is another pipeline than the row's."""
    found = _IN_BRACKETS.match(stage)
    if found is None:
        return stage
    named = found["pipeline"].strip().lower()
    if named == pipeline.lower():
        return found["stage"]
    if not named.endswith("pipeline"):
        return stage
    return found["stage"] if not pipeline else None
