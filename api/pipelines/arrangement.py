"""The order of a pipeline's active stages: pure rules, no database.

A stage's position is any number of its own within the pipeline; gaps are fine, ties are not. Each function answers only
the positions that change, because every changed stage is an event.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.stages import StageKind

Positions = Mapping[UUID, int]


def with_room_at(positions: Positions, position: int) -> dict[UUID, int]:
    """New positions of the stages that must step aside so that `position` is free."""
    by_position = {taken: stage_id for stage_id, taken in positions.items()}
    moved: dict[UUID, int] = {}
    while position in by_position:
        moved[by_position[position]] = position + 1
        position += 1
    return moved


def with_stage_at(positions: Positions, stage_id: UUID, *, position: int) -> dict[UUID, int]:
    """New positions after `stage_id` takes `position`; where that is taken, the stages in between shift one place."""
    if positions[stage_id] == position:
        return {}
    occupant = next((other for other, taken in positions.items() if taken == position), None)
    if occupant is None:
        return {stage_id: position}
    order = sorted(positions, key=lambda one: positions[one])
    places = sorted(positions.values())
    target = order.index(occupant)
    order.remove(stage_id)
    order.insert(target, stage_id)
    return {one: place for one, place in zip(order, places, strict=True) if positions[one] != place}


def position_for(kind: StageKind, stages: Sequence[tuple[StageKind, int]]) -> int:
    """Where a new stage goes unless told: after the last open stage, or at the end for a won or lost one."""
    same = [position for other, position in stages if kind is not StageKind.OPEN or other is StageKind.OPEN]
    return max(same, default=-1) + 1
