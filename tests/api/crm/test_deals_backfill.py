"""Rules of what files tell of deals and their past, on plain objects."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from api.deals.backfill import Backfill, DealRow, History, RowsRefusedError, backfill_known, backfill_new
from api.deals.rules import begin
from api.deals.state import Money
from api.deals.timeline import Entry
from tests.api.crm.deal_paths import MAY, NOW, WON, A, B, C, begun, day, entries, new, path, row


class TestBackfill:
    def test_a_closed_deal_without_a_history_begins_in_the_first_open_stage(self) -> None:
        told = self.told(row(WON, created_at=day(0), closed_at=day(9)))
        assert path(told.change.deal) == [(0, A), (9, WON)]

    def test_it_has_to_say_when_it_closed(self) -> None:
        with pytest.raises(RowsRefusedError, match="nothing says when"):
            self.told(row(WON, created_at=day(0)))

    def test_a_first_visit_that_closes_follows_an_opening(self) -> None:
        told = self.told(row(WON, created_at=day(3)), History(stages=entries((3, WON))))
        assert path(told.change.deal) == [(3, A), (3, WON)]

    def test_nothing_before_the_creation(self) -> None:
        with pytest.raises(RowsRefusedError, match="before the deal's creation"):
            backfill_known(begun(), None, History(stages=entries((-1, B))), learned_at=NOW)

    def test_owners_before_the_creation_held_at_it(self) -> None:
        one, two = UUID(int=11), UUID(int=12)
        owners: list[Entry[UUID | None]] = [
            Entry(day(-5), one, line=0),
            Entry(day(-2), two, line=1),
            Entry(day(4), one, line=2),
        ]
        deal = self.told(row(created_at=day(0), owner_id=one), History(owners=owners)).change.deal
        assert [(entry.at, entry.value) for entry in deal.owners.entries] == [(day(0), two), (day(4), one)]

    def test_ties_keep_the_order_of_the_file(self) -> None:
        history = History(stages=entries((1, A), (2, B), (2, C), (2, A)))
        told = self.told(row(A), history)
        assert path(told.change.deal) == [(1, A), (2, B), (2, C), (2, A)]
        again = backfill_known(told.change.deal, row(A), history, learned_at=NOW)
        assert again.change.facts == ()
        assert again.repeated == {0, 1, 2, 3}

    @staticmethod
    def told(said: DealRow, history: History | None = None) -> Backfill:
        return backfill_new(
            said, history or History(), id=UUID(int=7), external_id="7", first_open=A, currency="EUR", learned_at=NOW
        )


class TestImportedRows:
    """What a file may not bring about either."""

    ASKING = replace(B, entry_fields=("amount_minor",))
    POOR = begin(new(money=Money(None, "EUR")), at=MAY).deal

    def test_no_row_enters_a_stage_that_asks_for_more(self) -> None:
        told: dict[str, Any] = {"id": UUID(int=7), "external_id": "7", "first_open": A, "currency": "EUR"}
        with pytest.raises(RowsRefusedError, match="amount_minor"):
            backfill_new(row(self.ASKING), History(), **told, learned_at=NOW)
        with pytest.raises(RowsRefusedError, match="amount_minor"):
            backfill_known(self.POOR, row(self.ASKING), History(), learned_at=NOW)
        rich = backfill_new(row(self.ASKING, amount_minor=5), History(), **told, learned_at=NOW)
        assert rich.change.deal.stage == B
        there = begin(new(B, money=Money(None, "EUR")), at=MAY).deal
        assert backfill_known(there, row(self.ASKING), History(), learned_at=NOW).change.facts == ()

    def test_the_amount_of_a_deal_with_lines_is_their_sum(self) -> None:
        lined = replace(begun(), has_lines=True)
        with pytest.raises(RowsRefusedError, match="line items"):
            backfill_known(lined, row(amount_minor=5), History(), learned_at=NOW)
        history = History(amounts=[Entry(day(1), Money(5, "EUR"), line=0)])
        with pytest.raises(RowsRefusedError, match="line items"):
            backfill_known(lined, None, history, learned_at=NOW)
        assert backfill_known(lined, row(amount_minor=100), History(), learned_at=NOW).change.facts == ()
