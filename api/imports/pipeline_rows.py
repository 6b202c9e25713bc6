"""Pipelines and stages: those that a pipelines file lists, and those that deals name and the organization lacks."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from sqlalchemy import select
from uuid_utils.compat import uuid7

from api.imports.batch import Batch, Line, RowResult
from api.imports.directory import Directory, KnownPipeline
from api.imports.options import Creatable
from api.imports.people import EVER
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.kernel.event_log import NewEvent
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from api.pipelines.rules import position_for, with_room_at, with_stage_at
from contracts.events.pipelines import PipelineCreated, StageCreated, StageUpdated
from contracts.stages import StageKind

Row = Mapping[str, Any]


async def write_pipelines(batch: Batch, directory: Directory, frame: pl.DataFrame) -> None:
    """Write the rows of the import's pipelines files."""
    for row in frame.to_dicts():
        pipeline = directory.pipelines.get(row["pipeline"].lower())
        if pipeline is None:
            pipeline = await _create_pipeline(batch, directory, row["pipeline"])
        await _lock(batch, pipeline)
        stage = pipeline.stages.get(row["stage"].lower())
        if stage is None:
            kind = StageKind(row["kind"] or StageKind.OPEN)
            _create_stage(batch, pipeline, name=row["stage"], kind=kind, row=row)
            batch.count(Entity.PIPELINES, RowResult.CREATED)
        elif row["kind"] and row["kind"] != stage.kind:
            batch.fail(
                Line(row[FILE], row[ROW]),
                "kind",
                value=row["kind"],
                problem=f"The stage exists as {stage.kind}; a stage's kind never changes.",
                fix="Give the stage another name, or leave its kind as it is.",
            )
        else:
            batch.count(Entity.PIPELINES, _update_stage(batch, pipeline, stage, row))
    _warn_of_gaps(batch, directory)


async def add_missing_stages(batch: Batch, directory: Directory, named: Sequence[tuple[str | None, str]]) -> None:
    """Make the stages (and their pipelines) that rows name, as far as the options allow. `named` is in likely order."""
    kinds = {name.lower(): kind for name, kind in batch.options.stage_kinds.items()}
    elsewhere = {name: stage.stage_kind for one in directory.pipelines.values() for name, stage in one.stages.items()}
    if batch.options.pipeline is not None and directory.default_pipeline is None:
        directory.default_pipeline = await _ensure_pipeline(batch, directory, batch.options.pipeline)
    for pipeline_name, name in named:
        pipeline = (
            directory.default_pipeline
            if pipeline_name is None
            else await _ensure_pipeline(batch, directory, pipeline_name)
        )
        if pipeline is None or name.lower() in pipeline.stages or not batch.options.may_create(Creatable.STAGES):
            continue
        await _lock(batch, pipeline)
        kind = kinds.get(name.lower(), elsewhere.get(name.lower(), StageKind.OPEN))
        _create_stage(batch, pipeline, name=name, kind=kind, row={})
        batch.note_created("stages", [f"{pipeline.name}: {name} ({kind.value})"])
    if "stages" in batch.created:
        _warn_of_gaps(batch, directory)


def _warn_of_gaps(batch: Batch, directory: Directory) -> None:
    """A pipeline without a stage of some kind takes an import, but people cannot win, lose or reopen in it."""
    for pipeline in directory.pipelines.values():
        missing = [kind.value for kind in StageKind if all(one.kind != kind for one in pipeline.stages.values())]
        if missing:
            batch.warnings.append(f"The pipeline {pipeline.name!r} has no stage that is {' or '.join(missing)}.")


async def _ensure_pipeline(batch: Batch, directory: Directory, name: str) -> KnownPipeline | None:
    known = directory.pipelines.get(name.lower())
    if known is not None or not batch.options.may_create(Creatable.PIPELINES):
        return known
    return await _create_pipeline(batch, directory, name)


async def _create_pipeline(batch: Batch, directory: Directory, name: str) -> KnownPipeline:
    row = Pipeline(organization_id=batch.organization_id, id=uuid7(), version=1, name=name, is_active=True)
    batch.session.add(row)
    await batch.session.flush()
    batch.emit(NewEvent(event=PipelineCreated(name=name), aggregate_id=row.id, aggregate_version=1, occurred_at=EVER))
    batch.note_created("pipelines", [name])
    known = directory.pipelines[name.lower()] = KnownPipeline(row.id, name)
    directory.default_pipeline = directory.default_pipeline or known
    return known


async def _lock(batch: Batch, pipeline: KnownPipeline) -> None:
    """Whoever changes a pipeline's stages holds its row."""
    locked = select(Pipeline.id).where(Pipeline.organization_id == batch.organization_id, Pipeline.id == pipeline.id)
    await batch.session.execute(locked.with_for_update())


def _create_stage(batch: Batch, pipeline: KnownPipeline, *, name: str, kind: StageKind, row: Row) -> None:
    position = row.get("position")
    if position is None:
        position = position_for(kind, [(one.stage_kind, one.position) for one in pipeline.stages.values()])
    _move(batch, pipeline, with_room_at({one.id: one.position for one in pipeline.stages.values()}, position))
    stage = Stage(
        organization_id=batch.organization_id,
        id=uuid7(),
        version=1,
        pipeline_id=pipeline.id,
        name=name,
        kind=kind.value,
        position=position,
        target_days=row.get("target_days"),
        is_retired=False,
    )
    batch.session.add(stage)
    _enter(pipeline, stage)
    created = StageCreated(
        pipeline_id=pipeline.id, name=name, kind=kind, position=position, target_days=stage.target_days
    )
    batch.emit(NewEvent(event=created, aggregate_id=stage.id, aggregate_version=1, occurred_at=EVER))


def _enter(pipeline: KnownPipeline, stage: Stage) -> None:
    pipeline.stages[stage.name.lower()] = stage
    ordered = sorted(pipeline.stages.items(), key=lambda item: item[1].position)
    pipeline.stages.clear()
    pipeline.stages.update(ordered)


def _update_stage(batch: Batch, pipeline: KnownPipeline, stage: Stage, row: Row) -> RowResult:
    has_target = row["target_days"] is not None and row["target_days"] != stage.target_days
    moves: dict[Any, int] = {}
    if row["position"] is not None and row["position"] != stage.position:
        positions = {one.id: one.position for one in pipeline.stages.values()}
        moves = with_stage_at(positions, stage.id, position=row["position"])
    if not has_target and not moves:
        return RowResult.UNCHANGED
    stage.target_days = row["target_days"] if has_target else stage.target_days
    if stage.id not in moves:
        _emit_update(batch, stage)
    _move(batch, pipeline, moves)
    return RowResult.UPDATED


def _move(batch: Batch, pipeline: KnownPipeline, positions: Mapping[Any, int]) -> None:
    for stage in pipeline.stages.values():
        if stage.id in positions:
            stage.position = positions[stage.id]
            _emit_update(batch, stage)


def _emit_update(batch: Batch, stage: Stage) -> None:
    stage.version += 1
    updated = StageUpdated(
        pipeline_id=stage.pipeline_id,
        name=stage.name,
        kind=stage.stage_kind,
        position=stage.position,
        target_days=stage.target_days,
    )
    batch.emit(NewEvent(event=updated, aggregate_id=stage.id, aggregate_version=stage.version))
