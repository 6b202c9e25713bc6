"""Random files of the kinds that people have: nothing breaks, and what is stored an independent reading confirms.

The files are made of known facts, written in some habit of writing them. Stored must be those facts, or nothing.
"""

import io
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from tests.imports.conftest import Importer

_STAGES = ("New", "Qualified", "Proposal", "Negotiation")
_TITLES = (
    "Größe",
    "Zürich, Nord",
    "Ofen; groß",
    "Поставка печей",
    "naïve “quote”",
    "=1+1",
    "'x",
    "two\nlines",
    "Łódź",
    "東京",
    "a\tb",
)
_NOTHING = ("", "  ", "NULL", "#N/A", "n/a", "-")
_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "BRL": "R$", "RUB": "₽"}
_ODD = (
    "１２",
    "#REF!",
    "1,2,3",
    "12.13.14",
    "NaN",
    "1e400",
    "\0",
    "٣",
    "9" * 40,
    "--5",
    "5%",
    "0x10",
    "2026-02-30",
    "\u202e5",
)


@dataclass(frozen=True)
class _Fact:
    id: str
    title: str
    stage: str
    amount_minor: int | None
    currency: str
    on: date


@dataclass(frozen=True)
class _Habit:
    """How one program writes."""

    delimiter: str
    encoding: str
    decimal: str
    group: str
    date_format: str
    sign: str
    with_separator_line: bool
    line: str


def _habit(random: Random) -> _Habit:
    decimal = random.choice(".,")
    return _Habit(
        delimiter=random.choice(",;\t|"),
        encoding=random.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252", "cp1251", "utf-16-le"]),
        decimal=decimal,
        group=random.choice(["", " ", "\u00a0", "'", "." if decimal == "," else ","]),
        date_format=random.choice(
            ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%B %d, %Y", "%d-%b-%Y"]
        ),
        sign=random.choice(["column", "before", "after", "code"]),
        with_separator_line=random.random() < 0.2,
        line=random.choice(["\n", "\r\n"]),
    )


def _facts(random: Random, count: int) -> list[_Fact]:
    return [
        _Fact(
            id=f"D-{number}",
            title=random.choice(_TITLES),
            stage=random.choice(_STAGES),
            amount_minor=random.choice([None, random.randint(-(10**9), 10**11), random.randint(0, 10**6) * 100]),
            currency=random.choice(list(_SIGNS)),
            on=date(2020, 1, 1) + timedelta(days=random.randint(0, 2000)),
        )
        for number in range(count)
    ]


def _amount(fact: _Fact, habit: _Habit, random: Random) -> str:
    if fact.amount_minor is None:
        return random.choice(_NOTHING)
    whole, rest = divmod(abs(fact.amount_minor), 100)
    text = f"{whole:,}".replace(",", habit.group) + (
        f"{habit.decimal}{rest:02d}" if rest or random.random() < 0.5 else ""
    )
    if habit.sign == "before":
        text = f"{_SIGNS[fact.currency]}{text}"
    elif habit.sign == "after":
        text = f"{text} {_SIGNS[fact.currency]}"
    elif habit.sign == "code":
        text = f"{text} {fact.currency}"
    return text if fact.amount_minor >= 0 else random.choice([f"-{text}", f"({text})"])


def _file(facts: list[_Fact], habit: _Habit, random: Random, *, oddities: int) -> bytes:
    has_currency = habit.sign == "column"
    rows = [["external_id", "title", "stage", "amount", "created_at", *(["currency"] if has_currency else [])]]
    for fact in facts:
        cells = [fact.id, fact.title, fact.stage, _amount(fact, habit, random), fact.on.strftime(habit.date_format)]
        rows.append([*cells, *([fact.currency] if has_currency else [])])
    for _ in range(oddities):
        row = random.choice(rows[1:])
        row[random.randrange(3, len(row))] = random.choice(_ODD)
    stream = io.StringIO()
    if habit.with_separator_line:
        stream.write(f"sep={habit.delimiter}{habit.line}")
    for row in rows:
        # quoted by hand: not the writer of the library that reads it
        cells = [f'"{cell.replace(chr(34), chr(34) * 2)}"' if _needs_quotes(cell, habit) else cell for cell in row]
        stream.write(habit.delimiter.join(cells) + habit.line)
    return stream.getvalue().encode(habit.encoding, errors="replace")


def _needs_quotes(cell: str, habit: _Habit) -> bool:
    return any(mark in cell for mark in (habit.delimiter, '"', "\n", "\r"))


def _check(row: dict[str, Any], fact: _Fact, habit: _Habit) -> None:
    expected = fact.title.encode(habit.encoding, errors="replace").decode(habit.encoding)
    assert row["title"] in (expected, fact.id), (row, habit)
    assert row["stage"] == fact.stage
    assert row["on"] == fact.on, (row, fact, habit)
    if row["amount_minor"] is not None:
        assert (row["amount_minor"], row["currency"]) == (fact.amount_minor, fact.currency), (row, fact, habit)
    else:
        assert fact.amount_minor is None, (row, fact, habit)


_ROWS = """
select d.external_id, d.title, s.name as stage, d.amount_minor, d.currency, d.created_at::date as on
from deals d join stages s on s.id = d.stage_id where d.organization_id = %s
"""


async def _try(importer: Importer, seed: int) -> bool:
    """Import one random file into an organization of its own; whether anything came of it."""
    random = Random(seed)
    habit, facts = _habit(random), _facts(random, random.choice([1, 3, 40]))
    touched_before = random.random() < 0.5
    body = _file(facts, habit, random, oddities=random.choice([1, 3]) if touched_before else 0)
    answer = await importer.send({"deals": body}, preview=random.random() < 0.3)
    assert answer.status_code < 500, (seed, habit, answer.text)
    if answer.status_code != 202:
        return False
    done = await importer.finish(answer.json()["id"])
    assert done["state"] == "completed", (seed, habit, done)
    by_id = {fact.id: fact for fact in facts}
    odd = body.decode(habit.encoding, errors="replace") if touched_before else ""
    for row in importer.rows(_ROWS, importer.account.organization_id):
        fact = by_id[row["external_id"]]
        if any(mark in odd for mark in _ODD) and fact.amount_minor is not None and row["amount_minor"] is None:
            continue  # "NaN" in the place of an amount is no amount
        if "NaN" in odd and row["on"] > fact.on:
            continue  # nor is it a day: such a deal is created when it is imported
        _check(row, fact, habit)
    return True


async def _sweep(importer: Importer, seeds: range) -> int:
    stored = 0
    for seed in seeds:
        one = Importer(await importer.account.api.sign_up(), importer.database, importer.files_path)
        stored += await _try(one, seed)
    return stored


async def test_random_files_break_nothing_and_are_stored_as_they_were_meant(importer: Importer) -> None:
    assert await _sweep(importer, range(12)) > 0


@pytest.mark.slow
async def test_many_random_files_break_nothing_and_are_stored_as_they_were_meant(importer: Importer) -> None:
    assert await _sweep(importer, range(1_000, 1_400)) > 100


@pytest.mark.slow
async def test_noise_is_refused_and_breaks_nothing(importer: Importer) -> None:
    random = Random(7)
    for _ in range(300):
        body = random.randbytes(random.choice([0, 1, 20, 2_000]))
        head = random.choice(
            [b"", b"external_id,stage\n", b"\xff\xfe", b"\xef\xbb\xbfexternal_id;stage\r\n", b"sep=,\n"]
        )
        options = {"encoding": random.choice(["auto", "utf-16", "utf-8", "cp1252", "shift_jis", "gb18030"])}
        answer = await importer.send({"deals": head + body}, preview=True, **options)
        assert answer.status_code < 500, (head + body, answer.text)
