from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from dashboards import money
from dashboards.periods import Period, PeriodName, before, month_of, named

BERLIN = ZoneInfo("Europe/Berlin")


class TestAmount:
    @pytest.mark.parametrize(
        ("minor", "currency", "text"),
        [
            (124_000, "EUR", "€1,240"),
            (124_050, "EUR", "€1,240.50"),
            (-1, "EUR", "−€0.01"),
            (1_240, "JPY", "¥1,240"),
            (1_240_500, "KWD", "KWD 1,240.500"),
            (10**17 + 1, "EUR", "€1,000,000,000,000,000.01"),
            (None, "EUR", "–"),
        ],
    )
    def test_is_exact_in_every_currency(self, minor: int | None, currency: str, text: str) -> None:
        assert money.amount(minor, currency) == text

    def test_headlines_keep_three_figures(self) -> None:
        texts = [money.short_amount(minor, "EUR") for minor in (987_000, 1_234_500, 31_200_000, 124_000_000)]
        assert texts == ["€9,870", "€12.3k", "€312k", "€1.24M"]


class TestReading:
    @pytest.mark.parametrize(
        ("text", "currency", "minor"),
        [
            ("1240.50", "EUR", 124_050),
            ("1,240.5", "EUR", 124_050),
            ("1 240", "JPY", 1_240),
            ("-0.001", "KWD", -1),
            ("  ", "EUR", None),
        ],
    )
    def test_takes_amounts_as_people_write_them(self, text: str, currency: str, minor: int | None) -> None:
        assert money.read(text, currency) == minor

    @pytest.mark.parametrize(
        ("text", "currency", "why"),
        [("1.240,50", "EUR", "such as 1240.50"), ("12,50", "EUR", "such as 1240.50"), ("1.5", "JPY", "0 decimals"),
         ("١٢", "EUR", "such as 1240.50"), ("1e9", "EUR", "such as 1240.50")],
    )  # fmt: skip
    def test_guesses_nothing(self, text: str, currency: str, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            money.read(text, currency)


class TestShare:
    @pytest.mark.parametrize(
        ("fraction", "text"), [(0.0, "0 %"), (0.031, "3.1 %"), (0.0996, "10 %"), (0.617, "62 %"), (None, "–")]
    )
    def test_small_shares_stay_apart(self, fraction: float | None, text: str) -> None:
        assert money.share(fraction) == text


class TestChange:
    def test_r32_what_rounds_to_nothing_has_no_arrow(self) -> None:
        assert [money.points(difference) for difference in (0.0, 0.0004, -0.0004, 0.031)] == [None] * 3 + ["+3.1 pts"]
        assert [money.change(*pair) for pair in ((5, 5), (1001, 1000), (3, 0), (6, 5))] == [None] * 3 + ["+20 %"]


class TestClock:
    def test_names_the_day_only_if_it_is_another(self) -> None:
        now = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
        assert money.clock(datetime(2026, 11, 22, 23, 3, 22, tzinfo=UTC), now, BERLIN) == "00:03:22"
        assert money.clock(datetime(2026, 11, 22, 22, 3, 22, tzinfo=UTC), now, BERLIN) == "22 Nov 2026, 23:03:22"


class TestPeriod:
    TODAY = date(2026, 2, 14)

    @pytest.mark.parametrize(
        ("name", "start", "end"),
        [
            (PeriodName.THIS_MONTH, date(2026, 2, 1), date(2026, 3, 1)),
            (PeriodName.LAST_MONTH, date(2026, 1, 1), date(2026, 2, 1)),
            (PeriodName.THIS_QUARTER, date(2026, 1, 1), date(2026, 4, 1)),
            (PeriodName.LAST_QUARTER, date(2025, 10, 1), date(2026, 1, 1)),
            (PeriodName.THIS_YEAR, date(2026, 1, 1), date(2027, 1, 1)),
            (PeriodName.LAST_YEAR, date(2025, 1, 1), date(2026, 1, 1)),
        ],
    )
    def test_is_whole_and_half_open(self, name: PeriodName, start: date, end: date) -> None:
        assert named(name, self.TODAY) == Period(start, end)

    def test_quarters_and_years_follow_the_fiscal_year(self) -> None:
        assert named(PeriodName.THIS_YEAR, self.TODAY, fiscal_start_month=4) == Period(
            date(2025, 4, 1), date(2026, 4, 1)
        )
        assert named(PeriodName.LAST_QUARTER, self.TODAY, fiscal_start_month=2) == Period(
            date(2025, 11, 1), date(2026, 2, 1)
        )
        assert named(PeriodName.LAST_MONTH, self.TODAY, fiscal_start_month=4).start == date(2026, 1, 1)

    def test_the_one_before_is_as_long(self) -> None:
        assert before(Period(date(2026, 1, 1), date(2026, 4, 1))) == Period(date(2025, 10, 1), date(2026, 1, 1))
        assert before(Period(date(2026, 1, 8), date(2026, 1, 15))) == Period(date(2026, 1, 1), date(2026, 1, 8))

    def test_reads_a_metrics_month(self) -> None:
        assert month_of("2026-12") == Period(date(2026, 12, 1), date(2027, 1, 1))
