"""Amounts in one currency: each converted at the rate of its own day, exactly, by the same rule in both engines.

Rates are against the organization's base; two others are crossed by it. A day without a rate of its own takes the
newest of the days before, `RATE_DAYS` back at most. What is converted is rounded half to even, fact by fact, so that
facts add up to their sum.
"""

from collections.abc import Sequence
from datetime import timedelta

from contracts.money import MINOR_DIGITS, RATE_DIGITS
from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.dialect import DAY
from metrics.period import local_day, shifts
from metrics.question import Question

#: A rate counts for its own day and those after it, so many in all: also one that is set once a month.
RATE_DAYS = 35

_EPOCH = "cast('1970-01-01 00:00:00+00' as timestamptz)"
_ONE = 10**RATE_DIGITS


def add_converted(
    statement: Statement, question: Question, own: str, *, into: str = "credited", carried: Sequence[str] = ()
) -> None:
    """Add step `into`: the rows of step `own`, shaped as `credited`, with `counted_minor` in the asked currency.

    It is null where there is no rate.
    """
    asked = statement.bind(question.currency, "text")
    _add_days(statement, question, own, into)
    _add_exchange(statement, question, asked, into)
    amount = f"cast(o.amount_minor as {statement.dialect.wide_integer})"
    more = "".join(f", o.{column}" for column in carried)
    statement.step(
        into,
        "select o.subject_id, o.measure, o.at, o.days, o.stage_id, o.group_key, o.amount_minor, o.currency,\n"
        f"  case when o.currency = {asked} then {amount}\n"
        f"    else {quotient(statement, f'{amount} * e.numerator', 'e.denominator')} end as counted_minor{more}\n"
        f"from {into}_dated o left join {into}_exchange e on e.currency = o.currency and e.day = o.day",
    )


def quotient(statement: Statement, part: str, whole: str, *, halves_go_up: bool = False) -> str:
    """A whole number divided by a positive one, rounded to even or away from zero; null where one is."""
    dialect, size = statement.dialect, f"abs({part})"
    floor = dialect.divided(size, whole)
    twice = f"2 * ({size} - {floor} * {whole})"
    is_up = (
        f"{twice} >= {whole}" if halves_go_up else f"{twice} > {whole} or ({twice} = {whole} and mod({floor}, 2) = 1)"
    )
    return f"cast(sign({part}) * ({floor} + case when {is_up} then 1 else 0 end) as {dialect.wide_integer})"


def _add_days(statement: Statement, question: Question, own: str, into: str) -> None:
    """Add `<into>_dated`: the rows of `own` with the local day of their moment."""
    spoken_of = (question.begins_after, question.ends_at, question.at, question.as_of)
    spans = shifts(min(spoken_of), max(spoken_of), question.zone)
    statement.table(
        f"{into}_shifts",
        {"starts_at": "timestamptz", "ends_at": "timestamptz", "added": "bigint"},
        [(start, end, shift // timedelta(microseconds=1)) for start, end, shift in spans],
    )
    local = f"{statement.dialect.microseconds_between(_EPOCH, 'o.at')} + s.added"
    number = statement.dialect.divided(f"({local})", str(DAY))
    statement.step(
        f"{into}_dated",
        f"select o.*, date '1970-01-01' + cast({number} as integer) as day\n"
        f"from {own} o left join {into}_shifts s on o.at >= s.starts_at and o.at < s.ends_at",
    )


def _add_exchange(statement: Statement, question: Question, asked: str, into: str) -> None:
    """Add `<into>_exchange(currency, day, numerator, denominator)`: by what a day's amounts go."""
    earliest = local_day(min(question.begins_after, question.at), question.zone) - timedelta(days=RATE_DAYS)
    statement.mart(
        f"{into}_rates",
        Mart.FCT_EXCHANGE_RATES,
        columns="currency, day, base, rate_billionths",
        known_at=question.as_of,
        conditions=[f"day > {statement.bind(earliest, 'date')}"],
    )
    statement.step(
        f"{into}_foreign_days",
        f"select distinct currency, day from {into}_dated where currency <> {asked} and amount_minor is not null",
    )
    statement.step(
        f"{into}_wanted",
        f"select currency, day from {into}_foreign_days\n"
        f"union select {asked} as currency, day from {into}_foreign_days",
    )
    statement.step(
        f"{into}_quoted",
        f"select w.currency, w.day, max(r.day) as rate_day from {into}_wanted w\n"
        f"join {into}_rates r on r.currency = w.currency and r.day <= w.day and r.day > w.day - {RATE_DAYS}\n"
        "group by w.currency, w.day",
    )
    statement.step(
        f"{into}_priced",
        f"select q.currency, q.day, r.rate_billionths as rate from {into}_quoted q\n"
        f"join {into}_rates r on r.currency = q.currency and r.day = q.rate_day\n"
        f"union all select w.currency, w.day, {_ONE} from {into}_wanted w\n"
        f"where w.currency in (select base from {into}_rates)",
    )
    wide = statement.dialect.wide_integer
    digits = MINOR_DIGITS[question.currency]
    more = _by_digits("f.currency", {own: 10 ** max(digits - own, 0) for own in (0, 2, 3)})
    fewer = _by_digits("f.currency", {own: 10 ** max(own - digits, 0) for own in (0, 2, 3)})
    statement.step(
        f"{into}_exchange",
        f"select f.currency, f.day, cast(there.rate as {wide}) * {more} as numerator,\n"
        f"  cast(here.rate as {wide}) * {fewer} as denominator\n"
        f"from {into}_foreign_days f\n"
        f"join {into}_priced here on here.currency = f.currency and here.day = f.day\n"
        f"join {into}_priced there on there.currency = {asked} and there.day = f.day",
    )


def _by_digits(currency: str, values: dict[int, int]) -> str:
    """A number for how many digits a currency's minor units have."""
    cases = []
    for digits in (0, 3):
        codes = ", ".join(f"'{code}'" for code, own in MINOR_DIGITS.items() if own == digits)
        cases.append(f"when {currency} in ({codes}) then {values[digits]}")
    return f"case {' '.join(cases)} else {values[2]} end"
