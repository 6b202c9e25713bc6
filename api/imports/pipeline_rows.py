"""Pipelines and stages: those that a pipelines file lists, and those that deals name and the organization lacks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from api.imports.batch import Batch, Line, RowResult
from api.imports.directory import Directory, KnownPipeline, UnknownNameError, sounds_closed
from api.imports.options import Creatable
from api.imports.people import EVER
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.kernel.changes import Change
from api.pipelines.records import hold_pipelines, write_changes
from api.pipelines.rules import (
    Changes,
    NumberTooLarge,
    Pipeline,
    Stage,
    StageDraft,
    StageKindIsFixed,
    add_stage,
    create_pipeline,
    missing_kinds,
    update_stage,
)
from contracts.stages import StageKind

Row = Mapping[str, Any]

_FIXES: Mapping[type[Exception], str] = {
    StageKindIsFixed: "Give the stage another name, or leave its kind as it is.",
    NumberTooLarge: "Write a smaller number.",
}


async def write_pipelines(batch: Batch, directory: Directory, frame: pl.DataFrame) -> None:
    """Write the rows of the import's pipelines files."""
    rows: Sequence[Row] = frame.to_dicts()
    arranging = await _Arranging.hold(batch, directory, {row["pipeline"].lower() for row in rows})
    for row in rows:
        pipeline = directory.pipelines.get(row["pipeline"].lower()) or arranging.create(row["pipeline"])
        try:
            result = _write_stage(arranging, pipeline, row)
        except UnknownNameError as error:
            batch.fail(Line(row[FILE], row[ROW]), "stage", value=row["stage"], problem=error.problem, fix=error.fix)
        except (StageKindIsFixed, NumberTooLarge) as error:
            column = (error.pointer or "").removeprefix("/")
            line = Line(row[FILE], row[ROW])
            batch.fail(line, column, value=row[column], problem=str(error), fix=_FIXES[type(error)])
        else:
            batch.count(Entity.PIPELINES, result)
    arranging.write()
    _warn_of_gaps(batch, directory)


def _write_stage(arranging: "_Arranging", pipeline: KnownPipeline, row: Row) -> RowResult:
    given = {name: row[name] for name in ("position", "kind", "target_days") if row[name] is not None}
    if "kind" in given:
        given["kind"] = StageKind(given["kind"])
    stage = pipeline.known(row["stage"])
    if stage is not None and stage.is_retired:
        # a file that is told again brings nothing back that people put away
        arranging.batch.warnings.append(f"The stage {pipeline.name}: {stage.name} is retired and stays so.")
        return RowResult.UNCHANGED
    if stage is None:
        arranging.add(pipeline, StageDraft(name=row["stage"], **given))
        return RowResult.CREATED
    changes = update_stage(pipeline.stages.values(), stage, arranging.now, changes=given)
    arranging.decide(pipeline, changes)
    return RowResult.UPDATED if changes else RowResult.UNCHANGED


@dataclass(frozen=True)
class NamedStage:
    """A stage that rows name; `kind` where their deals say it, `is_closed` where they only say that it is not open."""

    pipeline: str | None
    name: str
    kind: StageKind | None = None
    is_closed: bool = False


async def add_missing_stages(batch: Batch, directory: Directory, named: Sequence[NamedStage]) -> None:
    """Make the stages (and their pipelines) that rows name, as far as the options allow. `named` is in likely order.

    One that may be closed is not made before somebody says whether it is won or lost.
    """
    kinds = {name.lower(): kind for name, kind in batch.options.stage_kinds.items()}
    elsewhere = {name: stage.kind for one in directory.pipelines.values() for name, stage in one.stages.items()}
    arranging = await _Arranging.hold(batch, directory, directory.pipelines.keys())
    if batch.options.pipeline is not None and directory.default_pipeline is None:
        directory.default_pipeline = arranging.ensure(batch.options.pipeline)
    for one in named:
        name, lower = one.name, one.name.lower()
        pipeline = directory.default_pipeline if one.pipeline is None else arranging.ensure(one.pipeline)
        is_there = pipeline is not None and (lower in pipeline.stages or lower in pipeline.former)
        if pipeline is None or is_there or not batch.options.may_create(Creatable.STAGES):
            continue
        kind = kinds.get(lower) or one.kind or elsewhere.get(lower)
        if kind is None and (one.is_closed or sounds_closed(name)):
            arranging.without_kind(pipeline, name)
            continue
        kind = kind or StageKind.OPEN
        arranging.add(pipeline, StageDraft(name=name, kind=kind))
        batch.note_created("stages", [f"{pipeline.name}: {name} ({kind.value})"])
    arranging.write()
    if "stages" in batch.created:
        _warn_of_gaps(batch, directory)


def _warn_of_gaps(batch: Batch, directory: Directory) -> None:
    for pipeline in directory.pipelines.values():
        missing = missing_kinds(stage.kind for stage in pipeline.stages.values())
        if missing:
            batch.warnings.append(f"The pipeline {pipeline.name!r} has no stage that is {' or '.join(missing)}.")


@dataclass
class _Arranging:
    """What a file says of pipelines, decided by their rules, and written at the end."""

    batch: Batch
    directory: Directory
    _changes: list[Change[Pipeline] | Change[Stage]] = field(default_factory=list)

    @classmethod
    async def hold(cls, batch: Batch, directory: Directory, names: Collection[str]) -> "_Arranging":
        """Hold the pipelines of these names, and know their stages as they stand now."""
        known = [pipeline for name, pipeline in directory.pipelines.items() if name in names]
        stages = await hold_pipelines(batch.unit, [pipeline.id for pipeline in known])
        for pipeline in known:
            pipeline.stages = {}
            pipeline.take(stage for stage in stages if stage.pipeline_id == pipeline.id)
        return cls(batch, directory)

    def without_kind(self, pipeline: KnownPipeline, name: str) -> None:
        """Say of a stage that only its kind is missing."""
        self.batch.warnings.append(
            f"The stage {pipeline.name}: {name} was not created: say with stage_kinds whether it is open, won or lost."
        )

    @property
    def now(self) -> datetime:
        """When this is decided."""
        return self.batch.unit.now

    def ensure(self, name: str) -> KnownPipeline | None:
        """The pipeline with this name, made if it may be."""
        known = self.directory.pipelines.get(name.lower())
        may_create = self.batch.options.may_create(Creatable.PIPELINES)
        return known or (self.create(name) if may_create else None)

    def create(self, name: str) -> KnownPipeline:
        """A new pipeline without stages."""
        change = create_pipeline(name, self.now, occurred_at=EVER)
        self._changes.append(change)
        self.batch.note_created("pipelines", [name])
        known = self.directory.pipelines[name.lower()] = KnownPipeline(change.after.id, name)
        self.directory.default_pipeline = self.directory.default_pipeline or known
        return known

    def add(self, pipeline: KnownPipeline, draft: StageDraft) -> None:
        """A new stage."""
        stages = pipeline.stages.values()
        self.decide(pipeline, add_stage(stages, pipeline.id, draft, self.now, occurred_at=EVER))

    def decide(self, pipeline: KnownPipeline, changes: Changes) -> None:
        """Move on to what was decided."""
        pipeline.take(change.after for change in changes)
        self._changes += changes

    def write(self) -> None:
        """Queue what was decided."""
        write_changes(self.batch.unit, self._changes)
