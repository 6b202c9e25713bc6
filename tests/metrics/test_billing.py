"""What is paid for, counted by hand: from events through the marts that dbt builds to the answer."""

from collections.abc import Callable
from typing import Any

from contracts.events.billing import (
    InvoiceCreated,
    InvoiceUpdated,
    SubscriptionCancelled,
    SubscriptionCreated,
    SubscriptionUpdated,
    UsageReported,
)
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told

_PLAN: dict[str, Any] = {"plan": "team", "status": "active", "interval": "month", "currency": "EUR"}


def _seats(seats: int, **changed: Any) -> dict[str, Any]:
    return {**_PLAN, "seats": seats, "monthly_minor": seats * 2_500, **changed}


def _tell(log: EventLog) -> None:
    for _ in range(2):
        log.user(at=BEGINNING)
    first, second, late = log.new_id(), log.new_id(), log.new_id()
    log.add(SubscriptionCreated(**_seats(3)), first, at=BEGINNING)
    log.add(SubscriptionUpdated(**_seats(5)), first, at=BEGINNING + days(10))
    gone = _seats(5, status="canceled")
    log.add(SubscriptionCancelled(**gone, reason="payment_failed"), first, at=BEGINNING + days(20))
    log.add(SubscriptionCreated(**_seats(2, plan="business")), second, at=BEGINNING + days(21))
    bill: dict[str, Any] = {"subscription_id": first, "currency": "EUR", "seats": 5, "total_minor": 12_500}
    log.add(InvoiceCreated(**bill, status="open", paid_minor=0, payment_attempts=0), late, at=BEGINNING + days(11))
    log.add(InvoiceUpdated(**bill, status="open", paid_minor=0, payment_attempts=1), late, at=BEGINNING + days(12))
    log.add(InvoiceUpdated(**bill, status="open", paid_minor=0, payment_attempts=2), late, at=BEGINNING + days(13))
    log.add(InvoiceUpdated(**bill, status="paid", paid_minor=12_500, payment_attempts=3), late, at=BEGINNING + days(14))
    used: dict[str, Any] = {"subscription_id": first, "stamped_at": BEGINNING + days(5)}
    log.add(UsageReported(meter="ai_drafts_beyond", quantity=30, **used), log.new_id(), at=BEGINNING + days(5))
    log.add(UsageReported(meter="account_days_beyond", quantity=2, **used), log.new_id(), at=BEGINNING + days(5))
    charged = {"seats_minor": 12_500, "usage_minor": 250, "ai_drafts": 30, "account_days": 2}
    period = {"usage_from": BEGINNING, "usage_to": BEGINNING + days(10)}
    whole: dict[str, Any] = {**bill, "total_minor": 12_750, "paid_minor": 12_750, **charged, **period}
    log.add(InvoiceCreated(**whole, status="paid", payment_attempts=0), log.new_id(), at=BEGINNING + days(10))
    log.set_rates(BEGINNING.date(), {"USD": "2"}, at=BEGINNING)
    abroad = {"currency": "USD", "subscription_id": None, "seats": 0, "total_minor": 900, "paid_minor": 0}
    log.add(InvoiceCreated(**abroad, status="open", payment_attempts=1), log.new_id(), at=BEGINNING + days(15))


_STORY = Told(_tell)


def test_counts_what_is_paid_for_as_it_is_known(ask_built: Callable[[EventLog], Asker]) -> None:
    asker = ask_built(_STORY.log)

    def revenue(day: float, **given: Any) -> list[tuple[str | None, int, int | None]]:
        found = asker.answer("recurring_revenue", as_of=(BEGINNING + days(day)).isoformat(), **given)
        return [(row["group"], row["subscriptions"], row["monthly_minor"]) for row in found.rows]

    assert revenue(9) == [(None, 1, 7_500)]
    assert revenue(11) == [(None, 1, 12_500)]
    assert revenue(20.5) == [(None, 0, 0)]
    assert revenue(22, group_by="plan") == [("business", 1, 5_000)]
    assert revenue(22, currency="USD") == [(None, 1, 10_000)]
    assert revenue(22, owner_ids=[_STORY.log.new_id()]) == [(None, 0, 0)]
    used = {day: asker.answer("seat_use", as_of=(BEGINNING + days(day)).isoformat()).rows[0] for day in (9, 11, 20.5)}
    assert [(one["people"], one["seats"]) for one in used.values()] == [(2, 3), (2, 5), (2, 0)]
    assert (used[11]["seat_use"], used[20.5]["seat_use"]) == (0.4, None)
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(30)).date()}
    [churn] = asker.answer("churn", **period).rows
    assert (churn["cancelled"], churn["monthly_minor"]) == (1, 12_500)
    [churn] = asker.answer("churn", **period, currency="USD").rows
    assert (churn["cancelled"], churn["monthly_minor"]) == (1, 25_000)
    [failed] = asker.answer("failed_payments", **period, group_by="month").rows
    assert (failed["group"], failed["invoices_failed"], failed["total_minor"]) == ("2026-01", 2, 12_500 + 450)
