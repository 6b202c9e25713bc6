"""The stages in which facts can stand: of pipelines as known at an instant, or those that every organization has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.stages import StageKind
from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.entities import Entity
from metrics.session import Session
from metrics.viewer import Viewer

_KIND_ORDER = {StageKind.OPEN: 0, StageKind.WON: 1, StageKind.LOST: 2}


@dataclass(frozen=True)
class Stage:
    """A stage as known at `as_of`. `rank` orders open stages by position, then won, then lost ones."""

    stage_id: UUID | str
    pipeline_id: UUID | None
    name: str
    kind: StageKind
    position: int
    target_days: int | None
    is_retired: bool
    rank: int


def stages_of(
    entity: Entity, session: Session, viewer: Viewer, pipeline_id: UUID | None, *, as_of: datetime
) -> tuple[tuple[Stage, ...], dict[str, str]]:
    """The stages in which the entity's facts can stand, and the names of all that is asked about."""
    if entity.has_pipelines:
        return _stages(session, viewer, pipeline_id, as_of=as_of)
    fixed = entity.steps.stages if entity.steps else []
    ordered = sorted(enumerate(fixed), key=lambda each: (_KIND_ORDER[each[1].kind], each[0]))
    stages = tuple(
        Stage(
            stage_id=stage.stage, pipeline_id=None, name=stage.label, kind=stage.kind, position=position,
            target_days=None, is_retired=False, rank=rank,
        )
        for rank, (position, stage) in enumerate(ordered, start=1)
    )  # fmt: skip
    return stages, {stage.stage: stage.label for stage in fixed}


def _stages(
    session: Session, viewer: Viewer, pipeline_id: UUID | None, *, as_of: datetime
) -> tuple[tuple[Stage, ...], dict[str, str]]:
    """Stages (of one pipeline, or all) and the names of pipelines and stages, valid and known at `as_of`."""
    statement = Statement(session.dialect, viewer.organization_id)
    instant = statement.bind(as_of, "timestamptz")
    conditions = [f"valid_from <= {instant} and (valid_to is null or valid_to > {instant})"]
    if pipeline_id is not None:
        conditions.append(f"pipeline_id = {statement.bind(pipeline_id, 'uuid')}")
    pipeline_columns = "pipeline_id, name"
    stage_columns = "stage_id, pipeline_id, name, kind, position, target_days, is_retired"
    statement.mart("pipelines", Mart.DIM_PIPELINES, columns=pipeline_columns, known_at=as_of, conditions=conditions)
    statement.mart("stages", Mart.DIM_STAGES, columns=stage_columns, known_at=as_of, conditions=conditions)
    rows = session.fetch(
        statement.compile(
            "select pipeline_id, name, null, null, null, null, null, null from pipelines\n"
            "union all\n"
            f"select pipeline_id, null, {stage_columns.replace('pipeline_id, ', '')} from stages"
        )
    )
    names = {str(row[0]): row[1] for row in rows if row[2] is None}
    names |= {str(row[2]): row[3] for row in rows if row[2] is not None}
    return _ranked([row for row in rows if row[2] is not None]), dict(sorted(names.items()))


def _ranked(rows: Sequence[tuple[Any, ...]]) -> tuple[Stage, ...]:
    def place(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_KIND_ORDER[StageKind(row[4])], row[5], str(row[2]))

    return tuple(
        Stage(
            stage_id=stage_id,
            pipeline_id=pipeline_id,
            name=name,
            kind=StageKind(kind),
            position=position,
            target_days=target_days,
            is_retired=is_retired,
            rank=rank,
        )
        for rank, (pipeline_id, _, stage_id, name, kind, position, target_days, is_retired) in enumerate(
            sorted(rows, key=place), start=1
        )
    )
