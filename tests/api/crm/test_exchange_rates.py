"""Exchange rates: set by hand, taken in from the ECB's file, against one base."""

import io
import zipfile
from typing import Any

import httpx
import pytest

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

PATH = "/v1/exchange-rates"
HISTORY = b"Date,USD,JPY,CYP,CHF,\n2026-05-29,1.1346,163.42,N/A,0.9341,\n2026-05-28,1.1300,163.1,N/A,N/A,\n"
DAILY = b"Date, USD, JPY, \r\n29 May 2026, 1.1346, 163.42, \r\n"


async def put(member: Member, day: str, **body: Any) -> httpx.Response:
    return await member.http.put(f"{PATH}/{day}", json={"base": "EUR", **body})


async def take_in(member: Member, file: bytes, **params: str) -> httpx.Response:
    return await member.http.post(f"{PATH}/import", files={"file": ("rates", file)}, params=params)


def zipped(*files: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writing:
        for number, file in enumerate(files):
            writing.writestr(f"eurofxref{number}.csv", file)
    return archive.getvalue()


class TestPut:
    async def test_adds_to_the_days_rates_and_takes_away(self, crm: Crm, owner: Member) -> None:
        made = (await put(owner, "2026-05-29", rates={"USD": "1.13460", "CHF": "0.9"})).json()
        assert (made["version"], made["day"], made["rates"]) == (1, "2026-05-29", {"CHF": "0.9", "USD": "1.1346"})
        changed = (await put(owner, "2026-05-29", rates={"CHF": None, "JPY": "163.42"})).json()
        assert (changed["version"], changed["rates"]) == (2, {"JPY": "163.42", "USD": "1.1346"})
        assert (await put(owner, "2026-05-29", rates={"JPY": "163.420"})).json() == changed
        assert (await owner.get(f"{PATH}/2026-05-29")).json() == changed
        first, second = crm.events(made["id"])
        assert (first["type"], second["data"]) == (
            "exchange_rates.set",
            {"day": "2026-05-29", "base": "EUR", "rates": changed["rates"]},
        )

    @pytest.mark.parametrize("rate", ["0", "-1", "NaN", "1e12", "0.0000000001", "many", ""])
    async def test_refuses_what_is_no_rate(self, owner: Member, rate: str) -> None:
        assert_problem(await put(owner, "2026-05-29", rates={"USD": rate}), 422, "validation_failed")

    async def test_refuses_unknown_currencies_another_base_and_the_bases_own_rate(self, owner: Member) -> None:
        assert_problem(await put(owner, "2026-05-29", rates={"ZZZ": "1"}), 422, "validation_failed")
        assert_problem(await put(owner, "2026-05-29", rates={"EUR": "1"}), 422, "base_has_no_rate")
        await put(owner, "2026-05-29", rates={"USD": "1.1"})
        assert_problem(await put(owner, "2026-05-30", base="USD", rates={"CHF": "1"}), 409, "another_base")

    async def test_is_for_administrators_and_stays_in_the_organization(self, crm: Crm, owner: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        assert_problem(await put(rep, "2026-05-29", rates={"USD": "1.1"}), 403, "forbidden")
        await put(owner, "2026-05-29", rates={"USD": "1.1"})
        assert len((await rep.get(PATH)).json()["items"]) == 1
        other = await crm.organization()
        assert (await other.get(PATH)).json()["items"] == []
        assert_problem(await other.get(f"{PATH}/2026-05-29"), 404, "not_found")


class TestImport:
    async def test_takes_in_the_wide_history_once(self, owner: Member) -> None:
        found = (await take_in(owner, HISTORY)).json()
        assert found == {
            "days": 2, "changed": 2, "first_day": "2026-05-28", "last_day": "2026-05-29", "left_out": ["CYP"],
        }  # fmt: skip
        assert (await take_in(owner, zipped(HISTORY))).json()["changed"] == 0
        newest, before = (await owner.get(PATH)).json()["items"]
        assert newest["rates"] == {"CHF": "0.9341", "JPY": "163.42", "USD": "1.1346"}
        assert before["rates"] == {"JPY": "163.1", "USD": "1.13"}

    async def test_takes_in_the_daily_file_and_only_days_from_the_asked_one(self, owner: Member) -> None:
        assert (await take_in(owner, zipped(DAILY))).json()["first_day"] == "2026-05-29"
        assert (await take_in(owner, HISTORY, **{"from": "2026-05-29"})).json()["days"] == 1
        listed = (await owner.get(PATH, params={"from": "2026-05-29", "to": "2026-05-30"})).json()["items"]
        assert [day["rates"]["CHF"] for day in listed] == ["0.9341"]

    @pytest.mark.parametrize(
        ("file", "words"),
        [
            (b"", "The first line must be"),
            (b"Day;USD\n", "The first line must be"),
            (b"Date,USD\n", "no line with rates"),
            (b"Date,USD\n2026-13-01,1\n", "Line 2, column Date"),
            (b"Date,USD\n2026-05-29,1,1\n\n2026-05-28,free\n", "Line 4, column USD: 'free' is no rate"),
            (b"Date,USD\n2026-05-29,1\n2026-05-29,2\n", "is there twice"),
            (b"\xff\xfe\x00", "no text in UTF-8"),
            (b"PK\x03\x04 broken", "cannot be opened"),
            (zipped(HISTORY, DAILY), "must hold one CSV file"),
        ],
    )
    async def test_says_what_is_wrong_with_a_file(self, owner: Member, file: bytes, words: str) -> None:
        answer = await take_in(owner, file)
        assert_problem(answer, 422, "rates_file_unusable")
        assert words in answer.json()["detail"]
        assert (await owner.get(PATH)).json()["items"] == []

    async def test_takes_the_whole_history_in_one_go(self, owner: Member) -> None:
        days = [f"{year}-{month:02}-{day:02},1.{year - 1000}{month:02}," for year in range(1999, 2026)
                for month in range(1, 13) for day in range(1, 22)]  # fmt: skip
        found = (await take_in(owner, zipped(("Date,USD,\n" + "\n".join(days)).encode()))).json()
        assert (found["days"], found["changed"]) == (len(days), len(days))
