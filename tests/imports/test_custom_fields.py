"""Custom fields out of files and back into them: typed, refused cell by cell, kept unique."""

from typing import Any

from tests.imports.conftest import Importer
from tests.imports.test_round_trip import exported

_TYPES: dict[str, dict[str, Any]] = {
    "Segment": {"type": "choice", "choices": [{"label": "SMB"}, {"label": "Enterprise"}]},
    "Areas": {"type": "choices", "choices": [{"label": "North"}, {"label": "South"}]},
    "Tax no": {"type": "text", "is_unique": True},
    "Seats": {"type": "number"},
    "Budget": {"type": "money"},
    "Renewal": {"type": "date"},
    "Site": {"type": "link"},
    "Coach": {"type": "person"},
}


async def _define(importer: Importer, kind: str) -> dict[str, str]:
    made = {
        name: await importer.account.made("/v1/custom-fields", json={"record_kind": kind, "name": name, **more})
        for name, more in _TYPES.items()
    }
    return {name: one["id"] for name, one in made.items()}


def _file(email: str, key: str = "external_id,name") -> str:
    return (
        f"{key},Segment,Areas,custom:Tax no,Seats,Budget,Renewal,Site,Coach\n"
        f'1,Acme,smb,"north; South",DE-1,"1,250.5",$99.50,2026-05-01,https://a.example/,{email}\n'
        f"2,Bolt,,,DE-2,,,,,\n"
        "3,Third,Huge,,,,,,,\n4,Fourth,,,de-1,,,,,\n5,Fifth,,,,many,,,,\n6,Sixth,,,,,,,ftp://x,\n7,Last,,,,,,,,ghost@x.example\n"
        "8,Eighth,,,,,5k,,,\n9,Ninth,,,,,kr 5,,,\n"
    )


def _custom(importer: Importer, table: str, column: str) -> dict[str, Any]:
    rows = importer.rows(f"select {column} as name, custom from {table} where organization_id = %s",
                         importer.account.organization_id)  # fmt: skip
    return {row["name"]: row["custom"] for row in rows}


async def test_columns_named_like_fields_fill_them_and_exports_bring_them_back(importer: Importer) -> None:
    ids = await _define(importer, "company")
    done = await importer.run({"companies": _file(importer.account.email)})
    errors = await importer.errors(done["id"])
    assert done["progress"]["companies"]["created"] == 2, errors
    for words in (
        "There is no choice 'Huge'",
        "which is to be unique",
        "This is no amount",
        "a web address",
        "such user",
        "'K', is no currency",
        "'KR', is no currency",
    ):
        assert words in errors
    acme = _custom(importer, "companies", "name")["Acme"]
    labels = {one["label"]: one["id"] for name in ("Segment", "Areas") for one in
              (await importer.account.read(f"/v1/custom-fields/{ids[name]}"))["choices"]}  # fmt: skip
    assert acme == {
        ids["Segment"]: labels["SMB"],
        ids["Areas"]: sorted([labels["North"], labels["South"]]),
        ids["Tax no"]: "DE-1",
        ids["Seats"]: 1250.5,
        ids["Budget"]: {"amount_minor": 9950, "currency": "USD"},
        ids["Renewal"]: "2026-05-01",
        ids["Site"]: "https://a.example/",
        ids["Coach"]: str(importer.account.user_id),
    }
    again = await importer.run({"companies": _file(importer.account.email)})
    assert again["progress"]["companies"]["unchanged"] == 2, await importer.errors(again["id"])
    taken = await importer.account.post("/v1/companies", json={"name": "Other", "custom": {ids["Tax no"]: "de-2"}})
    assert taken.status_code == 409, "what must be unique is so however it came"
    back = await importer.run({"companies": await exported(importer, "companies")})
    assert (back["counts"]["unchanged"], back["counts"]["failed"]) == (2, 0), await importer.errors(back["id"])
    changed = await importer.run({"companies": "external_id,name,custom:seats\n1,Acme,3\n"})
    assert changed["counts"]["updated"] == 1
    assert _custom(importer, "companies", "name")["Acme"] == acme | {ids["Seats"]: 3}


async def test_deals_and_contacts_have_them_too(importer: Importer) -> None:
    deals, contacts = await _define(importer, "deal"), await _define(importer, "contact")
    files = {
        "contacts": "name,email,Segment,Wahl\nAda,ada@a.example,SMB,North\n",
        "deals": "external_id,title,stage,created_at,Seats,Tax no\nD-1,One,New,2026-01-05,4,T1\nD-2,Two,New,,5,t1\n",
    }
    mapped = {"contacts": {"Wahl": "custom:Areas"}}
    shown = (await importer.send(files, preview=True, map=mapped)).json()
    assert {one["entity"]: one["map"].get("Seats") for one in shown["files"]}["deals"] == "custom:seats"
    done = await importer.run(files, map=mapped)
    assert (done["progress"]["deals"]["created"], done["progress"]["deals"]["failed"]) == (1, 1)
    assert _custom(importer, "deals", "title") == {"One": {deals["Seats"]: 4, deals["Tax no"]: "T1"}}
    ada = _custom(importer, "contacts", "name")["Ada"]
    assert ada.keys() == {contacts["Segment"], contacts["Areas"]}
    said = importer.rows(
        "select occurred_at::date::text as day, data from event_log where type = 'deal.custom.changed'"
    )
    assert [(one["day"], one["data"]["custom"][deals["Seats"]]) for one in said] == [("2026-01-05", "4")]
    for name in ("deals", "contacts"):
        back = await importer.run({name: await exported(importer, name)})
        assert (back["counts"]["unchanged"], back["counts"]["failed"]) == (1, 0), await importer.errors(back["id"])


async def test_imported_records_have_what_is_computed_of_them(importer: Importer) -> None:
    seats, large = [
        (await importer.account.made("/v1/custom-fields", json={"record_kind": "company", **more}))["id"]
        for more in (
            {"name": "Seats", "type": "number"},
            {"name": "Large", "type": "computed", "expression": 'company.custom["Seats"] > 5.0 ? "large" : "small"'},
        )
    ]
    await importer.run({"companies": "external_id,name,Seats,custom:Large\n1,Acme,10,small\n2,Bolt,2,\n3,None,,\n"})
    asked = {"filter": f'[["custom.{large}", "=", "large"]]'}
    [found] = (await importer.account.read("/v1/companies", params=asked))["items"]
    assert (found["name"], found["custom"]) == ("Acme", {seats: 10, large: "large"}), "its own column fills nothing"
    told = importer.rows(
        "select data -> 'custom' as custom from event_log where organization_id = %s"
        " and type = 'computed_values.changed' order by position",
        importer.account.organization_id,
    )
    assert [row["custom"] for row in told] == [{large: "large"}, {large: "small"}]
