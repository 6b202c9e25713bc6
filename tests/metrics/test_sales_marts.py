"""Assignments and line items, counted by hand: from events through the marts that dbt builds to the answer."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from contracts.events.deals import DealLineItemsChanged, LineFacts
from tests.event_history import BEGINNING, Deal, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told

STAGES = (("New", "open"), ("Won", "won"), ("Lost", "lost"))
PERIOD: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(60)).date()}
SEAT, WORK = UUID(int=501), UUID(int=502)


def _lines(*lines: tuple[UUID, UUID | None, int]) -> DealLineItemsChanged:
    facts = {
        line_id: LineFacts(
            product_id=product_id, quantity=Decimal("1.5"), unit_price_minor=1, discount_percent=Decimal(0),
            total_minor=total,
        )
        for line_id, product_id, total in lines
    }  # fmt: skip
    return DealLineItemsChanged(currency="EUR", total_minor=sum(one[2] for one in lines) or None, lines=facts)


class Story:
    """Four deals, and what is known of them when."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.ada, self.ben = log.user(), log.user()
        self.pipeline = pipeline = log.pipeline(stages=STAGES)
        owned = log.deal(pipeline, at=BEGINNING, owner_id=self.ada)
        waited = log.deal(pipeline, at=BEGINNING, owner_id=None)
        log.set_owner(waited, self.ben, at=BEGINNING + days(2))
        # an earlier owner, learned later
        log.set_owner(waited, self.ada, at=BEGINNING + days(1), recorded=BEGINNING + days(10))
        log.deal(pipeline, at=BEGINNING, owner_id=None)
        gone = log.deal(pipeline, at=BEGINNING, owner_id=self.ben)
        log.delete(gone, at=BEGINNING + days(20))
        log.restore(gone, at=BEGINNING + days(30))
        log.set_amount(gone, 999, at=BEGINNING + days(2), recorded=BEGINNING + days(35))
        self._sell(owned, day=3, lines=_lines((UUID(int=1), SEAT, 700), (UUID(int=2), None, 1)))
        self._sell(owned, day=4, lines=_lines((UUID(int=1), SEAT, 900), (UUID(int=3), WORK, 50)))
        log.set_rates(BEGINNING.date(), {"USD": "9"}, at=BEGINNING)
        log.set_rates((BEGINNING + days(5)).date(), {"USD": "1.225"}, at=BEGINNING + days(6))
        log.win(owned, at=BEGINNING + days(5))
        self._sell(waited, day=3, lines=_lines((UUID(int=4), SEAT, 10_000)))
        self._sell(gone, day=3, lines=_lines((UUID(int=5), SEAT, 30)))
        self.gone = gone

    def _sell(self, deal: Deal, *, day: int, lines: DealLineItemsChanged) -> None:
        self.log.add(lines, deal.id, at=BEGINNING + days(day))


_STORY = Told(Story)


@pytest.fixture
def story() -> Story:
    return _STORY.by


@pytest.fixture
def asker(ask_built: Callable[[EventLog], Asker]) -> Asker:
    return ask_built(_STORY.log)


def _by(asker: Asker, metric: str, by: str, figure: str, **given: Any) -> dict[str | None, Any]:
    return {row["group"]: row[figure] for row in asker.answer(metric, **PERIOD, group_by=by, **given).rows}


def test_the_wait_for_the_first_owner_as_it_was_known(asker: Asker, story: Story) -> None:
    assert _by(asker, "assignment_speed", "owner", "assigned") == {str(story.ada): 2, str(story.ben): 1}
    assert asker.answer("assignment_speed", **PERIOD).rows[0]["p90_days"] == pytest.approx(0.8)
    before: dict[str, Any] = {"as_of": (BEGINNING + days(9)).isoformat()}
    assert _by(asker, "assignment_speed", "owner", "assigned", **before) == {str(story.ada): 1, str(story.ben): 2}
    assert asker.answer("assignment_speed", **PERIOD, **before).rows[0]["p90_days"] == pytest.approx(1.6)


def test_lines_of_won_deals_are_sold_as_they_were_known(asker: Asker) -> None:
    assert _by(asker, "products_sold", "product", "sold_amount_minor") == {str(SEAT): 900, str(WORK): 50}
    page = asker.rows("products_sold", "lines_sold", **PERIOD)
    assert len(page.items) == 2
    # 950.00 in dollars at the rate of the day on which the deal was won, line by line
    in_dollars: dict[str, Any] = {"currency": "USD", "group_by": "product"}
    assert _by(asker, "products_sold", "product", "sold_amount_minor", currency="USD") == {
        str(SEAT): 1_102,
        str(WORK): 61,
    }
    assert asker.answer("products_sold", **PERIOD, **in_dollars).rows[0]["currency"] == "USD"
    assert asker.answer("products_sold", **PERIOD, currency="CHF").rows[0]["sold_amount_minor"] == 0
    before: dict[str, Any] = {"as_of": (BEGINNING + days(5) - timedelta(hours=1)).isoformat()}
    assert asker.answer("products_sold", **PERIOD, **before).rows[0]["lines_sold"] == 0


@pytest.mark.parametrize(
    ("day", "deals", "worth"), [(19, 4, 30_000), (25, 3, 20_000), (31, 4, 30_000), (36, 4, 20_999)]
)
def test_a_restored_deal_counts_again_and_as_known_then_it_was_gone(
    asker: Asker, story: Story, day: int, deals: int, worth: int
) -> None:
    known: dict[str, Any] = {"as_of": (BEGINNING + days(day)).isoformat()}
    assert asker.answer("deals_created", **PERIOD, **known).rows[0]["deals_created"] == deals
    entered = asker.entered(pipeline_id=story.pipeline.id, **PERIOD, **known)
    assert entered[0] == deals
    owned = _by(asker, "assignment_speed", "owner", "assigned", **known)
    assert owned.get(str(story.ben), 0) == deals - 3
    values = asker.answer(
        "pipeline_value", pipeline_id=story.pipeline.id, at=(BEGINNING + days(day)).isoformat(), **known
    )
    assert sum(row["open_amount_minor"] for row in values.rows) == worth
