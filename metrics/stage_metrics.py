"""Metrics of stages: entries into each, conversion from step to step, and time in each stage."""

from typing import Any

from contracts.stages import StageKind
from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.funnel import shown_stages
from metrics.moments import add_credited, add_entries, add_subjects
from metrics.question import Question


def build_stage_entered(statement: Statement, question: Question) -> None:
    """Add `facts`: per deal and stage the first entry within the period, credited as it was then."""
    add_subjects(statement, question)
    add_entries(statement, question)
    start, end = statement.bind(question.starts_at, "timestamptz"), statement.bind(question.ends_at, "timestamptz")
    statement.step(
        "moments",
        "select d.subject_id, 'entered' as measure, min(e.entered_at) as at, cast(null as double precision) as days,\n"
        "  e.stage_id from entries e join subjects d on d.subject_id = e.subject_id\n"
        f"where e.entered_at >= {start} and e.entered_at < {end} group by d.subject_id, e.stage_id",
    )
    add_credited(statement, question)
    statement.step(
        "facts",
        "select subject_id, group_key, stage_id, measure, cast(null as uuid) as lost_reason_id,\n"
        "  amount_minor, currency, counted_minor, days from credited",
    )


def shape_stage_entered(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group and stage; a retired stage only where it was entered."""
    entered = cells.stages("entered")
    return [
        {
            "group": group,
            "pipeline_id": str(stage.pipeline_id),
            "stage_id": str(stage.stage_id),
            "position": stage.position,
            "kind": stage.kind.value,
            "entered": cells.get("entered", group, stage.stage_id).facts,
            "amount_minor": cells.get("entered", group, stage.stage_id).amount_minor,
            "currency": question.currency,
        }
        for group in cells.groups() or [None]
        for stage in question.stages
        if not stage.is_retired or str(stage.stage_id) in entered
    ]


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
