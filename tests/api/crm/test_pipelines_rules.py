"""Rules of pipelines and stages with plain objects."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kernel.errors import CrmError
from api.pipelines import rules
from api.pipelines.rules import DEFAULT_STAGES, Stage, StageDraft
from contracts.stages import StageKind

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PIPELINE = UUID(int=1)


def default_stages() -> list[Stage]:
    return [change.after for change in rules.first_stages(PIPELINE, DEFAULT_STAGES, NOW)]


class TestStages:
    def test_a_kind_never_changes_and_a_retired_stage_takes_nothing(self) -> None:
        stages = default_stages()
        with pytest.raises(rules.StageKindIsFixed):
            rules.update_stage(stages, stages[0], NOW, changes={"kind": StageKind.WON})
        retired = rules.retire_stage(stages, stages[0], NOW, open_deals=0).after
        with pytest.raises(rules.StageIsRetired):
            rules.update_stage(stages[1:], retired, NOW, changes={"name": "Again"})
        with pytest.raises(rules.StageIsRetired):
            rules.retire_stage(stages[1:], retired, NOW, open_deals=0)

    def test_names_of_active_stages_differ_whatever_their_case(self) -> None:
        stages = default_stages()
        with pytest.raises(rules.StageNameTaken):
            rules.add_stage(stages, PIPELINE, StageDraft(name="WON"), NOW)
        with pytest.raises(rules.StageNameTaken):
            rules.update_stage(stages, stages[0], NOW, changes={"name": "won"})
        assert rules.update_stage(stages, stages[0], NOW, changes={"name": "NEW"})

    @pytest.mark.parametrize("field", ["position", "target_days"])
    def test_numbers_beyond_any_use_are_refused(self, field: str) -> None:
        stages, number = default_stages(), rules.LARGEST_NUMBER + 1
        large: dict[str, Any] = {field: number}
        with pytest.raises(rules.NumberTooLarge):
            rules.add_stage(stages, PIPELINE, StageDraft(name="Far", **large), NOW)
        with pytest.raises(rules.NumberTooLarge):
            rules.update_stage(stages, stages[0], NOW, changes=large)

    def test_the_last_of_its_kind_and_one_with_open_deals_stay(self) -> None:
        stages = default_stages()
        won = next(stage for stage in stages if stage.kind is StageKind.WON)
        with pytest.raises(rules.LastStageOfKind):
            rules.retire_stage(stages, won, NOW, open_deals=0)
        with pytest.raises(rules.StageHasOpenDeals):
            rules.retire_stage(stages, stages[0], NOW, open_deals=2)


#: Adding, moving, renaming and retiring, at places that are often taken.
COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["add", "move", "rename", "retire"]),
        st.integers(0, 9),
        st.one_of(st.none(), st.integers(0, 9)),
        st.sampled_from(StageKind),
    ),
    max_size=30,
)


@given(commands=COMMANDS)
def test_in_any_order_no_two_stages_share_a_place_or_a_name_and_each_kind_stays(
    commands: list[tuple[str, int, int | None, StageKind]],
) -> None:
    stages = {stage.id: stage for stage in default_stages()}
    for number, (verb, which, place, kind) in enumerate(commands):
        active = [stage for stage in stages.values() if not stage.is_retired]
        stage = active[which % len(active)]
        try:
            if verb == "add":
                draft = StageDraft(name=f"Stage {which}", kind=kind, position=place)
                changes = rules.add_stage(active, PIPELINE, draft, NOW)
            elif verb == "retire":
                changes = [rules.retire_stage(active, stage, NOW, open_deals=0)]
            else:
                sent: dict[str, Any] = {"position": place or 0} if verb == "move" else {"name": f"Name {number % 7}"}
                changes = rules.update_stage(active, stage, NOW, changes=sent)
        except CrmError:
            continue
        for change in changes:
            assert change.after.version == (change.before.version if change.before else 0) + 1
            assert change.after.kind == (change.before or change.after).kind
            stages[change.after.id] = change.after
    active = [stage for stage in stages.values() if not stage.is_retired]
    assert len({stage.position for stage in active}) == len(active)
    assert len({stage.name.lower() for stage in active}) == len(active)
    assert rules.missing_kinds(stage.kind for stage in active) == []
