"""`/v1/products` and the lines of deals: rounded one by one, their sum the deal's amount."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from api.deals.lines import Line
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem


def line(quantity: str, price: int, discount: str = "0") -> int:
    one = Line(
        id=uuid4(), product_id=None, name="N", quantity=Decimal(quantity), unit_price_minor=price,
        discount_percent=Decimal(discount),
    )  # fmt: skip
    return one.total_minor


class TestRounding:
    @pytest.mark.parametrize(
        ("quantity", "price", "discount", "total"),
        [
            ("3", 333, "0", 999),
            ("0.5", 1, "0", 1),  # half a cent
            ("0.5", -1, "0", -1),
            ("1", 999, "33.33", 666),
            ("0.1", 3, "0", 0),
            ("1000000000", 1_000_000, "0", 10**15),
            ("1", 100, "100", 0),
        ],
    )
    def test_halves_go_away_from_zero(self, quantity: str, price: int, discount: str, total: int) -> None:
        assert line(quantity, price, discount) == total

    @settings(max_examples=30)
    @given(some.decimals(min_value="0.000001", max_value=10**6, places=6), some.integers(-(10**9), 10**9))
    def test_a_total_is_never_further_off_than_half_a_cent(self, quantity: Decimal, price: int) -> None:
        assert abs(line(str(quantity), price) - quantity * price) <= Decimal("0.5")


async def put(member: Member, deal: dict[str, Any], *items: dict[str, Any], version: int | None = None) -> Any:
    headers = {"If-Match": f'"{version or deal["version"]}"'}
    return await member.http.put(f"/v1/deals/{deal['id']}/line-items", json={"items": list(items)}, headers=headers)


class TestLines:
    async def test_p5_their_sum_is_the_deals_amount_to_the_cent(self, crm: Crm, owner: Member) -> None:
        seat = await owner.made("/v1/products", {"name": "Seat", "code": "S", "unit_price_minor": 335})
        deal = await owner.deal(amount_minor=5)
        answer = await put(
            owner, deal,
            {"product_id": seat["id"], "quantity": "2.5", "discount_percent": "10"},
            {"name": "Set-up", "unit_price_minor": 1},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert [(one["name"], one["total_minor"]) for one in found["items"]] == [("Seat", 754), ("Set-up", 1)]
        now = (await owner.get(f"/v1/deals/{deal['id']}")).json()
        assert (now["amount_minor"], now["has_lines"], now["version"]) == (755, True, found["version"])
        assert (await owner.get(f"/v1/deals/{deal['id']}/line-items")).json() == found
        changed, amount = crm.events(deal["id"])[1:]
        assert (changed["type"], amount["data"]) == (
            "deal.line_items.changed", {"amount_minor": 755, "currency": "EUR"},
        )  # fmt: skip
        assert "Seat" not in str(changed["data"])
        assert sum(one["total_minor"] for one in changed["data"]["lines"].values()) == changed["data"]["total_minor"]

    async def test_the_amount_is_read_only_until_the_lines_are_out(self, owner: Member) -> None:
        deal = await owner.deal()
        made = (await put(owner, deal, {"name": "Work", "unit_price_minor": 700, "quantity": 2})).json()
        path = f"/v1/deals/{deal['id']}"
        for body in ({"amount_minor": 1}, {"currency": "USD"}):
            assert_problem(await owner.patch(path, body, version=made["version"]), 422, "amount_is_of_lines")
        assert (await owner.patch(path, {"amount_minor": 1400, "title": "T"}, version=made["version"])).is_success
        cleared = (await put(owner, deal, version=made["version"] + 1)).json()
        assert (cleared["items"], cleared["total_minor"]) == ([], None)
        now = (await owner.patch(path, {"amount_minor": 1}, version=cleared["version"])).json()
        assert (now["amount_minor"], now["has_lines"]) == (1, False)

    async def test_lines_keep_their_ids_and_the_same_lines_change_nothing(self, owner: Member) -> None:
        deal = await owner.deal()
        first = (
            await put(owner, deal, {"name": "A", "unit_price_minor": 1}, {"name": "B", "unit_price_minor": 2})
        ).json()
        kept = [{key: one[key] for key in one if key != "total_minor"} for one in first["items"]]
        again = (await put(owner, deal, *kept, version=first["version"])).json()
        assert again == first
        fewer = (await put(owner, deal, kept[1], version=first["version"])).json()
        assert [one["id"] for one in fewer["items"]] == [kept[1]["id"]]
        assert_problem(await put(owner, deal, kept[0], version=fewer["version"]), 422, "line_refused")
        assert_problem(await put(owner, deal, kept[1], version=1), 412)

    @pytest.mark.parametrize(
        "item",
        [
            {"name": "No price"},
            {"unit_price_minor": 1},
            {"product_id": str(uuid4())},
            {"name": "N", "unit_price_minor": 1, "quantity": "0"},
            {"name": "N", "unit_price_minor": 1, "quantity": "1.0000001"},
            {"name": "N", "unit_price_minor": 1, "discount_percent": "101"},
            {"name": "N", "unit_price_minor": 10**15, "quantity": "2"},
        ],
    )
    async def test_what_makes_no_line_is_refused_and_named(self, owner: Member, item: dict[str, Any]) -> None:
        deal = await owner.deal()
        problem = assert_problem(await put(owner, deal, {"name": "Good", "unit_price_minor": 1}, item), 422)
        assert "items" in str(problem["errors"])

    async def test_a_deal_is_of_one_currency_and_sells_what_is_sold(self, owner: Member, stranger: Member) -> None:
        foreign = await owner.made("/v1/products", {"name": "F", "unit_price_minor": 5, "currency": "USD"})
        deal = await owner.deal()
        assert_problem(await put(owner, deal, {"product_id": foreign["id"]}), 422, "line_refused")
        made = (await put(owner, deal, {"product_id": foreign["id"], "unit_price_minor": 6})).json()
        path = f"/v1/products/{foreign['id']}"
        assert (await owner.patch(path, {"is_active": False}, version=1)).is_success
        kept = {key: value for key, value in made["items"][0].items() if key != "total_minor"}
        more = {"product_id": foreign["id"], "unit_price_minor": 6}
        assert_problem(await put(owner, deal, kept, more, version=made["version"]), 422, "line_refused")
        assert (await put(owner, deal, {**kept, "quantity": "3"}, version=made["version"])).json()["total_minor"] == 18
        theirs = await stranger.made("/v1/products", {"name": "T", "unit_price_minor": 5})
        assert_problem(await put(owner, await owner.deal(), {"product_id": theirs["id"]}), 422, "line_refused")


class TestProducts:
    async def test_are_kept_by_managers_and_unique_by_code(self, crm: Crm, owner: Member, stranger: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        assert_problem(await rep.post("/v1/products", {"name": "Mine"}), 403)
        made = await owner.made("/v1/products", {"name": "Seat", "code": "SEAT"})
        assert (made["currency"], made["is_active"]) == ("EUR", True)
        assert_problem(await owner.post("/v1/products", {"name": "Other", "code": "seat"}), 409, "product_code_taken")
        await stranger.made("/v1/products", {"name": "Theirs", "code": "SEAT"})
        assert (await rep.get("/v1/products", params={"q": "sea"})).json()["items"] == [made]
        assert_problem(await stranger.get(f"/v1/products/{made['id']}"), 404)
        path = f"/v1/products/{made['id']}"
        off = (await owner.patch(path, {"is_active": False}, version=1)).json()
        assert (off["is_active"], off["version"]) == (False, 2)
        assert (await owner.get("/v1/products", params={"is_active": True})).json()["items"] == []
