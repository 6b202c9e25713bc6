"""Products, and what deals sell, out of files: recognised, priced in the deal's currency, refused row by row."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from tests.imports.conftest import Importer

_PRODUCTS = (
    "code,name,unit_price,currency,is_active\nSEAT,Seat a year,120.00,USD,yes\n,Old box,,,no\nX,Bad,12apples,,\n"
)
_DEALS = (
    "external_id,title,stage,amount,currency,created_at,closed_at,tags\n"
    "D-1,Open,New,,USD,2026-01-05,,Key; renewal\nD-2,Done,Won,99.00,USD,2025-01-05,2025-02-01,\n"
    "D-3,Yen,New,,JPY,2026-01-05,,\n"
)
_LINES = (
    "deal_external_id,product_code,product,name,quantity,unit_price,discount_percent\n"
    "D-1,SEAT,,,2.5,,10%\nD-1,,,Set-up,1,900.00,\n"
    "D-2,,Old box,,3,33.00,\n"
    "D-3,,,Tea,2,1500,\nD-3,NOPE,,,1,5,\n"
    "D-9,,,Ghost,1,5,\n"
)


_ODD = (
    "１２",
    "#REF!",
    "1,2,3",
    "12.13.14",
    "NaN",
    "1e400",
    "\0",
    "٣",
    "--5",
    "5%",
    "0x10",
    "\u202e5",
    "a\nb",
    ";;",
    "a;b",
)
_PLAIN = {"unit_price": "1", "stage": "New"}


def _with_odd_cells(names: Sequence[str], odd: Sequence[str]) -> bytes:
    """A file in which each column has each odd cell once, beside cells that are fine."""
    rows = [list(names)]
    for number, (place, cell) in enumerate(product(names, odd)):
        fine = {"external_id": f"D{number}", "name": f"N{number}", "deal_external_id": f"D{30 + number % 70}", **_PLAIN}
        rows.append([cell if name == place else fine.get(name, "") for name in names])
    quoted = (",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in rows)
    return "\n".join(quoted).encode()


def _counts(done: dict[str, Any], entity: str) -> tuple[int, ...]:
    return tuple(done["progress"][entity][name] for name in ("created", "updated", "unchanged", "failed"))


async def test_deals_are_worth_what_their_lines_say_and_a_file_may_come_again(importer: Importer) -> None:
    files = {"products": _PRODUCTS, "deals": _DEALS, "deal_line_items": _LINES}
    done = await importer.run(files)
    assert _counts(done, "products") == (2, 0, 0, 1)
    assert _counts(done, "deal_line_items") == (3, 0, 0, 3)
    errors = await importer.errors(done["id"])
    for words in ("There is no such product.", "The deal's lines wait: row 6", "There is no such deal."):
        assert words in errors
    deals = {one["external_id"]: one for one in (await importer.account.read("/v1/deals"))["items"]}
    assert {name: one["amount_minor"] for name, one in deals.items()} == {"D-1": 117000, "D-2": 9900, "D-3": None}
    assert deals["D-1"]["tags"] == ["Key", "renewal"]
    lines = await importer.account.read(f"/v1/deals/{deals['D-1']['id']}/line-items")
    assert [(one["name"], one["quantity"], one["total_minor"]) for one in lines["items"]] == [
        ("Seat a year", "2.5", 27000), ("Set-up", "1", 90000),
    ]  # fmt: skip
    before = importer.one("select count(*) from event_log where aggregate_type = 'deal'")
    again = await importer.run(files)
    assert _counts(again, "deal_line_items") == (0, 0, 3, 3)
    assert importer.one("select count(*) from event_log where aggregate_type = 'deal'") == before
    # another price of one line is one changed line, which keeps its id; tags are added, never taken off
    changed = _LINES.replace("900.00", "950.00")
    done = await importer.run({"deals": _DEALS.replace("Key; renewal", "hot"), "deal_line_items": changed})
    assert _counts(done, "deal_line_items") == (0, 1, 2, 3)
    assert _counts(done, "deals") == (0, 1, 2, 0)
    [deal] = [one for one in (await importer.account.read("/v1/deals"))["items"] if one["external_id"] == "D-1"]
    assert (deal["amount_minor"], deal["tags"]) == (122000, ["hot", "Key", "renewal"])
    after = await importer.account.read(f"/v1/deals/{deal['id']}/line-items")
    assert [one["id"] for one in after["items"]] == [one["id"] for one in lines["items"]]


async def test_a_preview_tells_of_products_and_missing_ones_are_made(importer: Importer) -> None:
    deals = "external_id,stage,currency\nD-1,New,EUR\n"
    lines = "deal_external_id,product,quantity,unit_price,currency\nD-1,Seat,1,10.50,\nD-1,Chair,2,€5.25,\n"
    shown = await importer.send({"deals": deals, "deal_line_items": lines}, preview=True, create_missing=True)
    assert shown.status_code == 200, shown.text
    assert shown.json()["would_create"] == {"products": ["Seat", "Chair"]}
    assert shown.json()["counts"]["deal_line_items"]["created"] == 2
    assert importer.one("select count(*) from products") == 0
    done = await importer.run({"deals": deals, "deal_line_items": lines}, create_missing=["products"])
    assert _counts(done, "deal_line_items") == (2, 0, 0, 0)
    assert importer.one("select amount_minor from deals") == 2100
    wrong = lines.replace("€5.25", "$5.25")
    done = await importer.run({"deal_line_items": wrong})
    assert "The deal is in EUR." in await importer.errors(done["id"])


async def test_a_revert_takes_back_all_that_an_import_made(importer: Importer) -> None:
    await importer.account.made("/v1/companies", json={"name": "Before"})
    files = {
        "companies": "external_id,name\nC-1,Acme\nC-2,Used\n",
        "contacts": "external_id,name,email,company_external_id\nP-1,Ada,ada@a.example,C-1\nP-2,Ben,,C-2\n",
        "deals": "external_id,stage,contact_external_id\nD-1,New,P-1\n",
        "products": "code,name\nSEAT,Seat\n",
        "deal_line_items": "deal_external_id,product_code,unit_price\nD-1,SEAT,5\n",
        "notes": "body,contact_external_id\nLikes tea,P-1\n",
        "tasks": "title,deal_external_id\nCall,D-1\n",
    }
    done = await importer.run(files)
    assert done["counts"]["failed"] == 0, await importer.errors(done["id"])
    ben = importer.one("select id from contacts where external_id = 'P-2'")
    await importer.account.patch(f"/v1/contacts/{ben}", json={"name": "Benjamin"})
    answer = await importer.account.post(f"/v1/imports/{done['id']}/revert")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["reverted_by_kind"] == {"task": 1, "activity": 1, "deal": 1, "contact": 1, "company": 1, "product": 1}
    assert found["remaining"] == 0
    kept = {(one["kind"], one["external_id"]): one["why"] for one in found["kept"]}
    assert kept == {
        ("contact", "P-2"): "It was changed after the import.",
        ("company", "C-2"): "It is used by other records.",
    }
    for path, names in {
        "companies": {"Before", "Used"},
        "contacts": {"Benjamin"},
        "deals": set(),
        "tasks": set(),
    }.items():
        items = (await importer.account.read(f"/v1/{path}"))["items"]
        assert {one.get("name") for one in items} == names, path


async def test_odd_cells_break_nothing_and_every_row_has_an_answer(importer: Importer) -> None:
    await importer.account.made("/v1/custom-fields", json={"record_kind": "deal", "name": "Seats", "type": "number"})
    odd = (*_ODD, "9" * 40, "-1", "0", "1e9", "1,5", "1.5", "$5", "€1.000,00", "101", "x" * 250, "=cmd|'/c'!A1", "None")
    columns = {
        "products": ("code", "name", "unit_price", "currency", "is_active"),
        "deal_line_items": (
            *("deal_external_id", "product_code", "product", "name", "quantity", "unit_price", "currency"),
            "discount_percent",
        ),
        "deals": ("external_id", "stage", "tags", "custom:Seats"),
    }
    files = {entity: _with_odd_cells(names, odd) for entity, names in columns.items()}
    shown = await importer.send(files, preview=True, create_missing=True)
    assert shown.status_code == 200, shown.text
    done = await importer.run(files, create_missing=True)
    assert done["state"] == "completed", done["error"]
    assert done["progress"]["products"]["created"] > 10
    assert done["progress"]["deals"]["created"] > 10
    again = await importer.run(files, create_missing=True)
    assert again["counts"]["created"] == again["counts"]["updated"] == 0, again["progress"]
