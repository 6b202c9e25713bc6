"""Metrics that read the funnel's facts: conversion from step to step, and time in each stage."""

from typing import Any

from contracts.stages import StageKind
from metrics.cells import Cells, ratio
from metrics.funnel import shown_stages
from metrics.question import Question


def shape_step_conversion(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group and step: from each open stage to the next, and from the last one to each won stage."""
    unit = question.parameters.unit
    rows: list[dict[str, Any]] = []
    for group in cells.groups() or [None]:
        previous = None
        for stage in shown_stages(question, cells):
            if stage.kind is StageKind.LOST:
                continue
            entered = cells.get("entered", group, stage.stage_id).count(unit)
            if previous is not None:
                before = cells.get("entered", group, previous.stage_id).count(unit)
                rows.append(
                    {
                        "group": group,
                        "from_stage_id": str(previous.stage_id),
                        "stage_id": str(stage.stage_id),
                        "position": stage.position,
                        "kind": stage.kind.value,
                        "entered_before": before,
                        "entered": entered,
                        "conversion": ratio(entered, before),
                    }
                )
            previous = stage if stage.kind is StageKind.OPEN else previous
    return rows


def shape_days_in_stage(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group and open stage."""
    rows: list[dict[str, Any]] = []
    for group in cells.groups() or [None]:
        for stage in shown_stages(question, cells):
            if stage.kind is not StageKind.OPEN:
                continue
            visited = cells.get("visited", group, stage.stage_id)
            rows.append(
                {
                    "group": group,
                    "stage_id": str(stage.stage_id),
                    "position": stage.position,
                    "kind": stage.kind.value,
                    "visited": visited.facts,
                    "still_here": cells.get("still_here", group, stage.stage_id).facts,
                    "median_days": visited.days.get(0.5),
                    "p90_days": visited.days.get(0.9),
                    "target_days": stage.target_days,
                }
            )
    return rows
