"""Rules of deals on plain objects, by table and by property: whatever is learned, in whatever order, by either door."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.deals.backfill import History, backfill_known, backfill_new
from api.deals.errors import (
    BackdatedClosing,
    DealIsClosed,
    DealWasClosed,
    OccurredBeforeCreation,
    OccurredInFuture,
    ReasonNeeded,
)
from api.deals.rules import (
    CLOCK_TOLERANCE,
    Change,
    begin,
    close,
    instant_of,
    learn,
    move,
    reopen,
    update,
)
from api.deals.state import Deal, Money, StageRef, replay
from api.deals.timeline import Entry, Timeline
from contracts.events.deals import DealClosed
from contracts.stages import StageKind
from tests.api.crm.deal_paths import (
    GONE,
    LOST,
    MAY,
    NOW,
    PAID,
    PRICE,
    STAGES,
    WON,
    A,
    B,
    C,
    begun,
    day,
    entries,
    new,
    path,
    row,
)


def rebuilt(before: Deal, facts: Sequence[Any]) -> list[tuple[float, StageRef]]:
    """The path that a deal's events alone tell."""
    lines = replay((fact.occurred_at, fact.event) for fact in facts)
    return path(replace(before, stages=lines.stages))


class TestTimeline:
    def test_the_present_value_is_the_one_entered_last_not_the_one_learned_last(self) -> None:
        line = Timeline.of([(day(0), "new"), (day(10), "won"), (day(5), "qualified")])
        assert line.last == "won"
        assert [entry.value for entry in line.entries] == ["new", "qualified", "won"]

    def test_values_of_one_instant_follow_the_order_of_learning(self) -> None:
        assert Timeline.of([(day(0), "a"), (day(0), "b"), (day(0), "c")]).last == "c"

    @pytest.mark.parametrize(
        ("instant", "value"), [(-1, "a"), (0, "a"), (4, "a"), (5, "b"), (9, "b"), (10, "c"), (99, "c")]
    )
    def test_at_answers_what_held(self, instant: float, value: str) -> None:
        assert Timeline.of([(day(0), "a"), (day(10), "c"), (day(5), "b")]).at(day(instant)) == value

    @given(days=st.lists(st.integers(1, 5), max_size=12), values=st.data())
    def test_learning_at_once_is_learning_one_by_one_in_order(self, days: list[int], values: st.DataObject) -> None:
        told = [Entry(day(n), values.draw(st.sampled_from("ab"))) for n in sorted(days)]
        start = Timeline.of([(day(0), "a")])
        grown = start
        for one in told:
            grown, _ = grown.learn([one])
        assert grown == start.learn(told)[0]
        assert all(before.value != after.value for before, after in pairwise(grown.entries))


class TestStaying:
    def test_an_earlier_entry_learned_later_leaves_one(self) -> None:
        """Created in A on day 0, moved to B on day 30, then moved to B backdated to day 2: in B since day 2."""
        moved = move(begun(), B, has_reason=False, lost_reason_id=None, at=day(30)).deal
        change = move(moved, B, has_reason=False, lost_reason_id=None, at=day(2))
        assert path(change.deal) == [(0, A), (2, B)]
        assert change.deal.stage_entered_at == day(2)
        [fact] = change.facts
        assert fact.occurred_at == day(2)

    def test_a_move_away_in_between_makes_it_an_entry_again(self) -> None:
        deal = learn(begun(), stages=entries((30, B))).deal
        deal = learn(deal, stages=entries((2, B))).deal
        assert path(learn(deal, stages=entries((9, C))).deal) == [(0, A), (2, B), (9, C), (30, B)]

    def test_a_later_one_says_nothing(self) -> None:
        deal = learn(begun(), stages=entries((2, B))).deal
        assert learn(deal, stages=entries((30, B))) == Change(deal)


class TestWinning:
    def test_moving_on_among_won_stages_dates_no_win_anew(self) -> None:
        won = close(begun(), WON, lost_reason_id=None, at=day(5)).deal
        paid = move(won, PAID, has_reason=False, lost_reason_id=None, at=day(9)).deal
        assert (paid.stage, paid.stage_entered_at, paid.closed_at) == (PAID, day(9), day(5))

    def test_an_import_says_the_same(self) -> None:
        told = backfill_known(begun(), row(PAID), History(stages=entries((5, WON), (9, PAID))), learned_at=NOW)
        assert told.change.deal.closed_at == day(5)

    def test_a_win_after_a_reopening_is_another_one(self) -> None:
        deal = learn(begun(), stages=entries((5, WON), (7, B), (9, PAID))).deal
        assert deal.closed_at == day(9)

    def test_an_earlier_win_learned_later_is_the_win(self) -> None:
        deal = learn(begun(), stages=entries((9, PAID))).deal
        assert learn(deal, stages=entries((5, WON))).deal.closed_at == day(5)

    def test_a_lost_deal_is_not_moved_on(self) -> None:
        lost = close(begun(), LOST, lost_reason_id=PRICE, at=day(5)).deal
        for to in (A, WON):
            with pytest.raises(DealIsClosed):
                move(lost, to, has_reason=False, lost_reason_id=None, at=day(6))


class TestLosing:
    def test_the_reason_is_that_of_the_loss_in_which_it_stands(self) -> None:
        history = History(stages=entries((2, LOST), (4, A), (6, LOST), (8, GONE)))
        change = backfill_known(begun(), row(GONE, lost_reason_id=PRICE), history, learned_at=NOW).change
        closings = [fact.event for fact in change.facts if isinstance(fact.event, DealClosed)]
        assert [event.lost_reason_id for event in closings][:2] == [None, PRICE]
        assert change.deal.lost_reason_id == PRICE
        assert learn(change.deal, stages=entries((9, A))).deal.lost_reason_id is None

    def test_an_earlier_entry_into_the_loss_keeps_its_reason(self) -> None:
        lost = close(begun(), LOST, lost_reason_id=PRICE, at=day(5)).deal
        earlier = learn(lost, stages=entries((3, LOST)))
        assert (earlier.deal.closed_at, earlier.deal.lost_reason_id) == (day(3), PRICE)

    def test_only_a_loss_has_a_reason(self) -> None:
        for to, has_reason in ((LOST, False), (WON, True), (B, True)):
            with pytest.raises(ReasonNeeded):
                move(begun(), to, has_reason=has_reason, lost_reason_id=None, at=day(1))


class TestGuards:
    """What an import may learn of the past, a request is refused."""

    DEAL = learn(begun(), stages=entries((10, B), (20, LOST), (25, C))).deal

    @pytest.mark.parametrize(("number", "to"), [(15, WON), (22, WON)])
    def test_no_closing_behind_newer_entries(self, number: float, to: StageRef) -> None:
        with pytest.raises(BackdatedClosing):
            move(self.DEAL, to, has_reason=False, lost_reason_id=None, at=day(number))
        with pytest.raises(BackdatedClosing):
            close(self.DEAL, to, lost_reason_id=None, at=day(number))
        assert (number, to) in path(learn(self.DEAL, stages=entries((number, to))).deal)

    def test_no_move_while_it_was_closed(self) -> None:
        with pytest.raises(DealWasClosed):
            move(self.DEAL, A, has_reason=False, lost_reason_id=None, at=day(22))

    def test_reopens_where_it_was_closed_from_else_in_the_first_open_stage(self) -> None:
        lost = learn(self.DEAL, stages=entries((30, LOST))).deal
        assert reopen(lost, asked=None, open_stages=[A, B, C], at=day(31)).deal.stage == C
        assert reopen(lost, asked=None, open_stages=[A, B], at=day(31)).deal.stage == A


class TestInstantOf:
    @pytest.mark.parametrize(
        ("given_instant", "expected"),
        [(None, NOW), (NOW - timedelta(days=3), NOW - timedelta(days=3)), (MAY, MAY), (NOW + CLOCK_TOLERANCE, NOW)],
    )
    def test_what_is_no_past_is_now(self, given_instant: datetime | None, expected: datetime) -> None:
        assert instant_of(given_instant, now=NOW, created_at=MAY, latest=MAY) == expected

    def test_a_change_without_an_instant_never_precedes_what_is_known(self) -> None:
        ahead = NOW + timedelta(seconds=2)
        assert instant_of(None, now=NOW, created_at=MAY, latest=ahead) == ahead

    def test_beyond_the_tolerance_is_the_future(self) -> None:
        with pytest.raises(OccurredInFuture):
            instant_of(NOW + CLOCK_TOLERANCE + timedelta(seconds=1), now=NOW, created_at=MAY, latest=MAY)

    def test_before_the_deal_began_nothing_happened_to_it(self) -> None:
        with pytest.raises(OccurredBeforeCreation):
            instant_of(MAY - timedelta(seconds=1), now=NOW, created_at=MAY, latest=MAY)


class TestFacts:
    def test_a_backdated_change_takes_its_place(self) -> None:
        deal = update(begun(), {"currency": "USD"}, at=day(10)).deal
        change = update(deal, {"amount_minor": 150}, at=day(5))
        assert [fact.event.model_dump() for fact in change.facts] == [{"amount_minor": 150, "currency": "EUR"}]
        assert change.deal.amounts.last == Money(100, "USD")

    def test_same_values_are_no_change(self) -> None:
        deal = begun()
        assert update(deal, {"title": deal.title, "amount_minor": 100, "close_date": None}, at=NOW) == Change(deal)


# -- properties: a true path, learned by halves, in any order, by either door

_paths = st.lists(st.sampled_from(STAGES), max_size=12).map(
    lambda visited: [(float(n), to) for n, to in enumerate(visited, start=1)]
)


def by_requests(told: Sequence[tuple[float, StageRef]]) -> Change:
    """The path as a rep would make it, in order; what a request is refused is left out of `told` beforehand."""
    change = begin(new(), at=MAY)
    for number, to in told:
        deal, at = change.deal, day(number)
        if deal.is_open and to.kind is not StageKind.OPEN:
            done = close(deal, to, lost_reason_id=PRICE if to.kind is StageKind.LOST else None, at=at)
        elif not deal.is_open and to.kind is StageKind.OPEN:
            done = reopen(deal, asked=to, open_stages=[], at=at)
        else:
            done = move(deal, to, has_reason=False, lost_reason_id=None, at=at)
        change = change.and_then(done)
    return change


def is_asked_for(before: StageRef, after: StageRef) -> bool:
    """Whether a request may do it: a closed deal is reopened first, and lost deals do not move."""
    if before.kind is StageKind.LOST:
        return after.kind is StageKind.OPEN
    return before.kind is not StageKind.WON or after.kind is not StageKind.LOST


@given(told=_paths)
def test_an_import_of_a_history_is_the_same_moves_by_requests(told: list[tuple[float, StageRef]]) -> None:
    allowed, where = [], A
    for number, to in told:
        if is_asked_for(where, to):
            allowed.append((number, to))
            where = to
    asked = by_requests(allowed)
    history = History(stages=entries((0, A), *allowed))
    told_row = row(where, title="400 seats", amount_minor=100, currency="EUR", lost_reason_id=PRICE)
    imported = backfill_new(
        told_row, history, id=UUID(int=7), external_id="7", first_open=A, currency="EUR", learned_at=NOW
    ).change

    def without_reasons(change: Change) -> list[tuple[Any, ...]]:
        events = [fact.event for fact in change.facts]
        return [
            (type(event), event.model_dump(exclude={"lost_reason_id"}), fact.occurred_at)
            for event, fact in zip(events, change.facts, strict=True)
        ]

    assert without_reasons(imported) == without_reasons(asked)
    assert imported.deal.stages.entries == asked.deal.stages.entries
    assert imported.deal == asked.deal


@given(told=_paths, data=st.data())
def test_any_order_of_learning_then_the_whole_is_the_path(
    told: list[tuple[float, StageRef]], data: st.DataObject
) -> None:
    whole = History(stages=entries((0, A), *told))
    expected = backfill_known(begun(), None, whole, learned_at=NOW).change.deal
    deal, facts = begun(), list(begin(new(), at=MAY).facts)
    for part in data.draw(st.permutations(told)):
        change = backfill_known(deal, None, History(stages=entries(part)), learned_at=NOW).change
        deal, facts = change.deal, [*facts, *change.facts]
        assert rebuilt(deal, facts) == path(deal)
    again = backfill_known(deal, None, whole, learned_at=NOW).change
    assert path(again.deal) == path(expected)
    assert again.deal.closed_at == expected.closed_at
    assert backfill_known(again.deal, None, whole, learned_at=NOW).change == Change(again.deal)


@given(told=_paths)
def test_a_deal_is_won_once_since_it_was_last_open(told: list[tuple[float, StageRef]]) -> None:
    deal = learn(begun(), stages=entries(*told)).deal
    if deal.stage.kind is not StageKind.WON:
        return
    visits = deal.visits
    first = max(n for n, visit in enumerate(visits) if visit.value.kind is not StageKind.WON) + 1
    assert deal.closed_at == visits[first].at


@given(told=_paths)
def test_events_alone_tell_the_whole_deal(told: list[tuple[float, StageRef]]) -> None:
    change = begin(new(), at=MAY).and_then(learn(begun(), stages=entries(*told)))
    lines = replay((fact.occurred_at, fact.event) for fact in change.facts)
    assert lines.stages == change.deal.stages
    assert (lines.owners, lines.amounts, lines.close_dates) == (
        change.deal.owners,
        change.deal.amounts,
        change.deal.close_dates,
    )
