"""The order of a deal's stages, by table and by property."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.deals.instants import CLOCK_TOLERANCE, OccurredBeforeCreation, OccurredInFuture, instant_of_change
from api.deals.stage_path import StageEntry, StagePath
from contracts.stages import StageKind

MAY = datetime(2026, 5, 1, tzinfo=UTC)
NEW, QUALIFIED, WON = UUID(int=1), UUID(int=2), UUID(int=3)


def entry(day: int, version: int, stage: UUID = NEW) -> StageEntry:
    kind = StageKind.WON if stage == WON else StageKind.OPEN
    return StageEntry(occurred_at=MAY + timedelta(days=day), version=version, stage_id=stage, kind=kind)


class TestPath:
    def test_present_stage_is_the_one_entered_last_not_the_one_recorded_last(self) -> None:
        path = StagePath([entry(0, 1), entry(10, 2, WON), entry(5, 3, QUALIFIED)])
        assert path.present == entry(10, 2, WON)
        assert [e.version for e in path.entries] == [1, 3, 2]

    def test_entries_of_one_instant_follow_their_versions(self) -> None:
        path = StagePath([entry(0, 1), entry(0, 3, QUALIFIED), entry(0, 2, WON)])
        assert path.present == entry(0, 3, QUALIFIED)

    @pytest.mark.parametrize(
        ("day", "stage"), [(0, NEW), (4, NEW), (5, QUALIFIED), (9, QUALIFIED), (10, WON), (99, WON)]
    )
    def test_at_answers_where_the_deal_was(self, day: int, stage: UUID) -> None:
        path = StagePath([entry(0, 1), entry(10, 2, WON), entry(5, 3, QUALIFIED)])
        found = path.at(MAY + timedelta(days=day))
        assert found is not None
        assert found.stage_id == stage

    def test_before_creation_it_was_nowhere(self) -> None:
        assert StagePath([entry(0, 1)]).at(MAY - timedelta(seconds=1)) is None

    @given(days=st.lists(st.integers(0, 5), min_size=1, max_size=12))
    def test_order_does_not_depend_on_the_order_of_arrival(self, days: list[int]) -> None:
        entries = [entry(day, version) for version, day in enumerate(days, start=1)]
        grown = StagePath([])
        for one in reversed(entries):
            grown = grown.with_entry(one)
        assert grown.entries == StagePath(entries).entries
        assert grown.present == max(entries, key=lambda e: (e.occurred_at, e.version))


class TestInstantOfChange:
    NOW = MAY + timedelta(days=30)

    @pytest.mark.parametrize(
        ("given_instant", "expected"),
        [(None, None), (NOW - timedelta(days=3), NOW - timedelta(days=3)), (MAY, MAY), (NOW + CLOCK_TOLERANCE, None)],
    )
    def test_now_is_the_databases_to_say(self, given_instant: datetime | None, expected: datetime | None) -> None:
        assert instant_of_change(given_instant, now=self.NOW, created_at=MAY, latest=MAY) == expected

    def test_a_change_without_an_instant_never_precedes_what_is_known(self) -> None:
        ahead = self.NOW + timedelta(seconds=2)
        assert instant_of_change(None, now=self.NOW, created_at=MAY, latest=ahead) == ahead

    def test_beyond_the_tolerance_is_the_future(self) -> None:
        instant = self.NOW + CLOCK_TOLERANCE + timedelta(seconds=1)
        with pytest.raises(OccurredInFuture):
            instant_of_change(instant, now=self.NOW, created_at=MAY, latest=MAY)

    def test_before_the_deal_began_nothing_happened_to_it(self) -> None:
        with pytest.raises(OccurredBeforeCreation):
            instant_of_change(MAY - timedelta(seconds=1), now=self.NOW, created_at=MAY, latest=MAY)
