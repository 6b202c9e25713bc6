"""Answers of imports."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.imports.batch import Batch, RowResult
from api.imports.headings import places
from api.imports.prepare import PreparedFile, good_rows
from api.imports.presets import Entity

_FIRST_ROWS = 10
_SHOWN_PROBLEMS = 100

_FILE: dict[str, JsonValue] = {"name": "deals.csv", "entity": "deals", "size": 48213}
_FIGURES: dict[str, JsonValue] = {"total": 610, "done": 400, "created": 398, "updated": 0, "unchanged": 0, "failed": 2}


class ImportedFile(BaseModel):
    """One uploaded file."""

    name: str
    entity: Entity
    size: int = Field(description="Bytes.")


class Progress(BaseModel):
    """How far the rows of one entity are. `done` is the sum of the four results, and in the end equals `total`."""

    total: int
    done: int
    created: int
    updated: int
    unchanged: int
    failed: int


class ImportRead(BaseModel):
    """An import."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
                    "version": 1,
                    "state": "running",
                    "options": {"preset": "generic", "create_missing": True},
                    "files": [_FILE],
                    "progress": {"deals": _FIGURES},
                    "counts": _FIGURES,
                    "warnings": ["Created stages: Sales: Demo (open)."],
                    "error": None,
                    "created_by": "0192f0c0-9a8b-7c6d-8e4f-3a2b1c0d9e8f",
                    "created_at": "2026-05-01T09:30:00Z",
                    "started_at": "2026-05-01T09:30:01Z",
                    "completed_at": None,
                }
            ]
        }
    )

    id: UUID
    version: int
    state: str = Field(description="queued, running, completed, or failed (then `error` says why).")
    options: dict[str, Any]
    files: list[ImportedFile]
    progress: dict[Entity, Progress]
    counts: Progress = Field(description="The sum over all entities.")
    warnings: list[str]
    error: str | None
    created_by: UUID | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class PreviewedFile(BaseModel):
    """How a file was understood."""

    name: str
    entity: Entity
    encoding: str
    delimiter: str
    columns: list[str] = Field(description="Columns that were found, by their own heading or by the map.")
    rows_read: int = Field(description="All rows of the file were read and checked.")
    headings: list[str] = Field(description="All headings, in order.")
    known_columns: list[str] = Field(description="Every column that rows of this entity can have.")
    map: dict[str, str] = Field(description="Column by heading, as the file is understood; ready for the option `map`.")
    guesses: list[str] = Field(
        description="What was concluded and could be otherwise: the reason, and the option that says otherwise."
    )
    first_rows: list[dict[str, Any]] = Field(description="The first good rows, as they were read.")


class RowProblem(BaseModel):
    """One thing wrong with one row."""

    file: str
    row: int = Field(description="As a spreadsheet counts: the headings are row 1.")
    field: str
    value: str
    problem: str
    fix: str


class ImportPreview(BaseModel):
    """What an import would do. Nothing was written. Every row was read; of very large files, the first were tried."""

    files: list[PreviewedFile]
    counts: dict[Entity, dict[str, int]] = Field(description="Results of the rows that were tried.")
    would_create: dict[str, list[str]] = Field(description="What rows name and the organization lacks.")
    problems: list[RowProblem] = Field(description="The first hundred.")
    problem_count: int
    warnings: list[str]


def job_answer(job: Mapping[str, Any]) -> ImportRead:
    """An import from its row."""
    progress = {Entity(entity): Progress.model_validate(figures) for entity, figures in job["progress"].items()}
    sums = {name: sum(getattr(one, name) for one in progress.values()) for name in Progress.model_fields}
    return ImportRead.model_validate({**job, "progress": progress, "counts": Progress(**sums)})


def preview_answer(prepared: Sequence[PreparedFile], batch: Batch) -> ImportPreview:
    """What the work on these files came to."""
    return ImportPreview(
        files=[_previewed(one) for one in prepared],
        counts={entity: {result: count[result] for result in RowResult} for entity, count in batch.results.items()},
        would_create=batch.created,
        problems=[_problem(prepared, one) for one in batch.problems[:_SHOWN_PROBLEMS]],
        problem_count=len(batch.problems),
        warnings=[*(text for one in prepared for text in one.warnings), *dict.fromkeys(batch.warnings)],
    )


def _problem(files: Sequence[PreparedFile], row: Mapping[str, Any]) -> RowProblem:
    texts = {name: row[name] for name in ("field", "value", "problem", "fix")}
    return RowProblem(file=files[row["file_index"]].file.name, row=row["row_number"], **texts)


def _previewed(one: PreparedFile) -> PreviewedFile:
    columns = [name for name in one.file.columns if name in one.positions]
    rows = good_rows(one, one.chunks[0]).select(columns).head(_FIRST_ROWS) if one.chunks else pl.DataFrame()
    return PreviewedFile(
        name=one.file.name,
        entity=one.file.entity,
        encoding=one.source.encoding.name,
        delimiter=one.source.shape.delimiter,
        columns=columns,
        rows_read=one.row_count,
        headings=list(one.source.headings) if one.file.beside is None else [],
        known_columns=list(one.file.columns),
        map=_map(one),
        guesses=one.guesses,
        first_rows=rows.to_dicts(),
    )


def _map(one: PreparedFile) -> dict[str, str]:
    """The map that says what was understood, unless headings of one text mean different things."""
    if one.file.beside is not None:
        return {}
    headings = one.source.headings
    numbers = {place: number for number, place in places(headings).items()}
    return {
        headings[place] if headings.count(headings[place]) == 1 else f"#{numbers[place]}": column
        for column, place in one.positions.items()
        if headings[place] or place in numbers
    }
