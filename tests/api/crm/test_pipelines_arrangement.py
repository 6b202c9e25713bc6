"""Where stages stand after one is added or moved."""

from uuid import UUID

import pytest

from api.pipelines.rules import position_for, with_room_at, with_stage_at
from contracts.stages import StageKind

A, B, C, D = (UUID(int=n) for n in range(1, 5))


class TestMoveStage:
    @pytest.mark.parametrize(
        ("stage", "position", "order"),
        [(A, 2, [B, C, A, D]), (D, 0, [D, A, B, C]), (C, 1, [A, C, B, D]), (B, 1, [A, B, C, D]), (A, 9, [B, C, D, A])],
    )
    def test_order_after_the_move(self, stage: UUID, position: int, order: list[UUID]) -> None:
        positions = {A: 0, B: 1, C: 2, D: 3}
        after = positions | with_stage_at(positions, stage, position=position)
        assert sorted(after, key=lambda one: after[one]) == order
        assert len(set(after.values())) == len(after)

    def test_only_what_changes_is_answered(self) -> None:
        assert with_stage_at({A: 0, B: 10, C: 20, D: 30}, C, position=10) == {C: 10, B: 20}

    def test_a_free_place_moves_nobody_else(self) -> None:
        assert with_stage_at({A: 0, B: 10, C: 20}, A, position=15) == {A: 15}


class TestAddStage:
    def test_those_in_the_way_step_aside_up_to_the_next_gap(self) -> None:
        assert with_room_at({A: 0, B: 1, C: 2, D: 7}, 1) == {B: 2, C: 3}
        assert with_room_at({A: 0, B: 5}, 3) == {}

    def test_an_open_stage_goes_before_the_closed_ones_and_a_closed_one_to_the_end(self) -> None:
        stages = [(StageKind.OPEN, 0), (StageKind.OPEN, 1), (StageKind.WON, 2), (StageKind.LOST, 3)]
        assert position_for(StageKind.OPEN, stages) == 2
        assert position_for(StageKind.LOST, stages) == 4
        assert position_for(StageKind.OPEN, []) == 0
