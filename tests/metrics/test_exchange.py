"""Amounts in other currencies: each at the rate of its own day, exact, the same on both warehouses."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

import pytest

from contracts.money import MINOR_DIGITS
from metrics.errors import ParameterError
from metrics.parameters import read
from metrics.registry import definition_of
from metrics.restatements import restatements
from metrics.rows import CellAddress
from tests.event_history import BEGINNING, Deal, EventLog, Pipeline, days
from tests.metrics.conftest import FIELD, Asker

PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-12-01"}

Ask = Callable[[EventLog], Asker]


@pytest.fixture
def ask(ask_either: Ask) -> Ask:
    return ask_either


@pytest.fixture
def pipeline(log: EventLog) -> Pipeline:
    return log.pipeline()


def _won(log: EventLog, pipeline: Pipeline, amount: int, currency: str, *, at: datetime) -> Deal:
    deal = log.deal(pipeline, at=BEGINNING, amount_minor=amount, currency=currency)
    log.win(deal, at=at)
    return deal


def _booked(asker: Asker, **given: Any) -> int:
    amount: int = asker.answer("bookings", **PERIOD, **given).rows[0]["won_amount_minor"]
    return amount


def test_golden_14_an_amount_is_converted_at_the_rate_of_its_own_date(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    for day, rate in ((6, "1.10"), (7, "1.25"), (20, "2.00")):
        log.set_rates(date(2026, 1, day), {"USD": rate, "JPY": "160", "KWD": "0.32"}, at=BEGINNING)
    # 23:30 on the sixth in Berlin, half an hour later on the seventh
    _won(log, pipeline, 11_000, "USD", at=datetime(2026, 1, 6, 22, 30, tzinfo=UTC))
    _won(log, pipeline, 12_500, "USD", at=datetime(2026, 1, 6, 23, 0, tzinfo=UTC))
    # the newest rate there is, on a day without one; yen have no cents, dinars have thousandths
    _won(log, pipeline, 1_600, "JPY", at=datetime(2026, 1, 9, 12, tzinfo=UTC))
    _won(log, pipeline, 3_200, "KWD", at=datetime(2026, 1, 9, 12, tzinfo=UTC))
    _won(log, pipeline, 5, "EUR", at=datetime(2026, 1, 9, 12, tzinfo=UTC))
    asker = ask(log)
    assert _booked(asker) == 10_000 + 10_000 + 1_000 + 1_000 + 5
    assert _booked(asker, group_by="month", currency="USD") == 11_000 + 12_500 + 1_250 + 1_250 + 6
    page = asker.rows("bookings", "won_amount_minor", **PERIOD)
    assert (page.amount_minor, page.currency) == (22_005, "EUR")
    assert sorted((one["amount_minor"], one["currency"], one["counted_minor"]) for one in page.items) == [
        (5, "EUR", 5),
        (1_600, "JPY", 1_000),
        (3_200, "KWD", 1_000),
        (11_000, "USD", 10_000),
        (12_500, "USD", 10_000),
    ]
    answer = asker.answer("bookings", **PERIOD)
    assert answer.notes == ["An amount in another currency is converted at the rate of the day of its closing."]
    assert (answer.parameters["currency"], answer.other_currencies) == ("EUR", [])
    # today's rate rewrites no history
    log.set_rates(date(2026, 7, 1), {"USD": "9.99"}, at=BEGINNING + days(190))
    assert _booked(ask(log)) == 22_005


def test_stocks_are_converted_at_the_rate_of_the_instant_spoken_of(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    log.set_rates(date(2026, 1, 6), {"USD": "1.25"}, at=BEGINNING)
    log.set_rates(date(2026, 2, 2), {"USD": "2.00"}, at=BEGINNING)
    log.deal(pipeline, at=BEGINNING, amount_minor=1_000, currency="USD")
    asker = ask(log)

    def value(**given: Any) -> int:
        return sum(row["open_amount_minor"] for row in asker.answer("pipeline_value", as_of="2026-07-01", **given).rows)

    assert (value(at="2026-01-10"), value(at="2026-02-05")) == (800, 500)
    # on 15 June both are older than a rate may be
    found = asker.answer("pipeline_value", at="2026-06-15", as_of="2026-07-01")
    assert value(at="2026-06-15") == 0
    assert found.other_currencies == [{"figure": "open_deals", "currency": "USD", "facts": 1, "amount_minor": 1_000}]
    assert "Deals whose amount has no exchange rate are left out of sums: 1 (open_deals)." in found.notes


def test_what_has_no_rate_is_named_and_a_late_rate_restates(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    log.set_rates(date(2026, 1, 6), {"USD": "1.25"}, at=BEGINNING)
    won_at, late = BEGINNING + days(5), BEGINNING + days(30)
    francs = [_won(log, pipeline, amount, "CHF", at=won_at) for amount in (900, 1_800)]
    _won(log, pipeline, 1_250, "USD", at=won_at)
    before = ask(log).answer("bookings", **PERIOD)
    assert before.rows[0]["won_amount_minor"] == 1_000
    assert before.other_currencies == [{"figure": "deals_won", "currency": "CHF", "facts": 2, "amount_minor": 2_700}]
    log.set_rates(date(2026, 1, 6), {"USD": "1.25", "CHF": "0.9"}, at=late)
    asker = ask(log)
    assert _booked(asker) == 1_000 + 1_000 + 2_000
    assert _booked(asker, as_of=(late - days(1)).isoformat()) == 1_000
    definition = definition_of("bookings")
    found = restatements(
        asker.reader,
        definition,
        read(definition, {"from": "2026-01-01", "to": "2026-12-01"}),
        CellAddress("won_amount_minor"),
        earlier=late - days(1),
        viewer=asker.viewer(),
        now=asker.now,
        most=10,
    )
    assert (found.before, found.after) == (1_000, 4_000)
    assert {item["deal_id"]: item["difference"] for item in found.items} == {
        str(francs[1].id): 2_000,
        str(francs[0].id): 1_000,
    }


def test_another_currency_of_the_organization_converts_what_was_booked_before(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    _won(log, pipeline, 1_000, "EUR", at=BEGINNING + days(1))
    log.organization(currency="USD", at=BEGINNING + days(10))
    unpriced = ask(log).answer("bookings", **PERIOD)
    assert unpriced.rows[0]["won_amount_minor"] == 0
    assert unpriced.other_currencies[0]["amount_minor"] == 1_000
    log.set_rates(date(2026, 1, 5), {"USD": "1.5"}, at=BEGINNING + days(11))
    asker = ask(log)
    assert (_booked(asker), _booked(asker, currency="EUR")) == (1_500, 1_000)
    assert asker.answer("bookings", **PERIOD).rows[0]["currency"] == "USD"


def test_random_amounts_equal_exact_fractions(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    random = Random(14)
    currencies = ["USD", "JPY", "KWD", "CHF", "EUR", "IDR"]
    rates: dict[date, dict[str, str]] = {}
    for number in range(0, 40, 3):
        day = date(2026, 1, 5) + timedelta(days=number)
        rates[day] = {
            code: str(Decimal(random.randrange(1, 10**8)).scaleb(-random.randrange(3, 8)).normalize())
            for code in currencies
            if code != "EUR"
        }
        log.set_rates(day, rates[day], at=BEGINNING)
    expected: dict[str, int] = dict.fromkeys(("EUR", "JPY", "USD"), 0)
    for number in range(60):
        at = BEGINNING + days(number % 39 + 1)
        # halves, negative ones and the largest are among them
        amount, currency = (
            random.choice([1, -1, 5, 25, -125, 10**15, random.randrange(10**9)]),
            random.choice(currencies),
        )
        _won(log, pipeline, amount, currency, at=at)
        known = rates[max(day for day in rates if day <= at.date())] | {"EUR": "1"}
        for asked in expected:
            if asked == currency:
                expected[asked] += amount
                continue
            factor = Fraction(known[asked]) / Fraction(known[currency])
            expected[asked] += round(amount * factor * Fraction(10) ** (MINOR_DIGITS[asked] - MINOR_DIGITS[currency]))
    asker = ask(log)
    assert {asked: _booked(asker, currency=asked) for asked in expected} == expected
    month = asker.answer("bookings", **PERIOD, currency="JPY", group_by="month")
    assert sum(row["won_amount_minor"] for row in month.rows) == expected["JPY"]


@pytest.mark.parametrize("is_computed", [False, True])
def test_custom_fields_split_and_filter(log: EventLog, pipeline: Pipeline, ask: Ask, is_computed: bool) -> None:
    plain, *marked = (_won(log, pipeline, 100 * number, "EUR", at=BEGINNING + days(2)) for number in (1, 2, 3))
    assert plain
    for deal, value in zip(marked, ("north", "none"), strict=True):
        (log.compute if is_computed else log.set_custom)(deal, {FIELD: value}, at=BEGINNING + days(3))
    asker = ask(log)
    for metric, figure in (("bookings", "deals_won"), ("deals_created", "deals_created"), ("win_rate", "won")):
        rows = asker.answer(metric, **PERIOD, group_by=f"custom:{FIELD}").rows
        assert {row["group"]: row[figure] for row in rows} == {"north": 1, "none": 1, None: 1}
        assert [row[figure] for row in asker.answer(metric, **PERIOD, custom=f"{FIELD}:north").rows] == [1]
    given: dict[str, Any] = {"pipeline_id": pipeline.id, **PERIOD}
    funnel = asker.answer("funnel", **given, group_by=f"custom:{FIELD}")
    assert [total["won"] for total in funnel.totals] == [1, 1, 1]
    assert asker.answer("funnel", **given, custom=f"{FIELD}:north").totals[0]["cohort"] == 1
    changed = asker.answer("conversion_change", **given, group_by=f"custom:{FIELD}")
    cohorts = {row["group"]: row["cohort"] for row in changed.totals if not row["is_total"] and not row["stage_id"]}
    assert cohorts == {row["group"]: row["cohort"] for row in funnel.totals}
    of_north = asker.answer("conversion_change", **given, custom=f"{FIELD}:north").totals[0]
    assert (of_north["is_total"], of_north["cohort"]) == (True, 1)
    north = asker.rows("bookings", "deals_won", **PERIOD, group_by=f"custom:{FIELD}", group="north")
    assert [item["deal_id"] for item in north.items] == [str(marked[0].id)]
    then = (BEGINNING + days(2.5)).isoformat()
    assert [
        row["group"] for row in asker.answer("bookings", **PERIOD, group_by=f"custom:{FIELD}", as_of=then).rows
    ] == [None]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"currency": "ZZZ"}, "currency: must be the ISO 4217 code"),
        ({"group_by": "custom"}, r"group_by: must be one of none, .*custom:<field_id>"),
        ({"group_by": "custom:seats"}, "group_by: must name a custom field by its UUID"),
        ({"custom": f"{UUID(int=1)}"}, "custom: must be <field_id>:<value>"),
        ({"custom": "x:y"}, "custom: must name a custom field by its UUID"),
    ],
)
def test_what_cannot_be_asked_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read(definition_of("bookings"), given)
