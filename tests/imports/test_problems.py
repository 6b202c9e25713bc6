"""Bad input: every row is accounted for, every problem says where it is and what to do."""

import csv
import io

from tests.imports.conftest import Importer

_GOOD = "G{n},fine,New,5,USD,2025-01-01"
_HEADINGS = "external_id,title,stage,amount,currency,created_at"


#: A bad row, the column that is blamed, words of the problem.
_BAD = [
    ("B,x,Nowhere,5,USD,2025-01-01", "stage", "no stage of this name"),
    ("B1,x,New,5,USD,31.31.2025", "created_at", "no date"),
    ("B2,x,New,5,USD,2999-01-01", "created_at", "range"),
    ("B3,x,New,-5e9,USD,2025-01-01", "amount", "no amount"),
    ("B4,x,New,many,USD,2025-01-01", "amount", "no amount"),
    ('B5,x,New,"1,5,0",USD,2025-01-01', "amount", "no amount"),
    ("B6,x,New,5,XYZ,2025-01-01", "currency", "no currency"),
    (",x,New,5,USD,2025-01-01", "external_id", "empty"),
    ("G1,x,New,5,USD,2025-01-01", "external_id", "row 2"),
    ("B7,x,New,5,USD,2025-01-01,one,more", "", "8 cells"),
    ('B8,"x\ny",New', "", "not closed"),
    (f"B9,{'x' * 300},New,5,USD,2025-01-01", "title", "longer than 200"),
    (f"B10,{'x' * 10_000_000},New,5,USD,2025-01-01", "", "million characters"),
    ("B11,x\0y,New,5,USD,2025-01-01", "title", "NUL"),
    ("B12,x,Won,5,USD,", "closed_at", "nothing says when"),
]


async def test_bad_rows_fail_alone_and_nothing_is_lost(importer: Importer) -> None:
    lines = [_HEADINGS]
    for number, (row, _, _) in enumerate(_BAD, start=1):
        lines += [_GOOD.format(n=number), row]
    body = "\n".join([*lines, _GOOD.format(n=0)])
    done = await importer.run({"deals": body})
    assert done["state"] == "completed", done
    counts = done["counts"]
    assert (counts["total"], counts["created"], counts["failed"]) == (31, 16, 15)
    assert importer.one("select count(*) from deals") == 16
    failed = list(csv.DictReader(io.StringIO(await importer.errors(done["id"]))))
    assert [row["sluice_row"] for row in failed] == [str(2 * n + 1) for n in range(1, 16)]
    for shown, (row, field, words) in zip(failed, _BAD, strict=True):
        assert field in shown["sluice_field"], row[:80]
        assert words in shown["sluice_problem"], row[:80]
        assert shown["sluice_fix"]


async def test_a_quote_that_is_never_closed_fails_its_row(importer: Importer) -> None:
    rest = "".join(f"{_GOOD.format(n=n)}\n" for n in range(2, 50))
    done = await importer.run({"deals": f'{_HEADINGS}\n{_GOOD.format(n=1)}\nB,"x,New,5\n{rest}'})
    assert (done["counts"]["created"], done["counts"]["failed"]) == (1, 1)
    assert "not closed in 49 lines" in await importer.errors(done["id"])


async def test_an_unusable_file_is_refused_at_once(importer: Importer) -> None:
    for body, words in (
        (b"", "empty"),
        (b"\xef\xbb\xbf\n\n", "empty"),
        (b"\x00\x01\x02\x03binary", "binary"),
        (b"PK\x03\x04 a workbook", "workbook"),
        (b"PAR1 and no more", "Parquet"),
        (b"external_id,title\n1,x\n", "no column for stage"),
        (b",".join(b"c%d" % place for place in range(10_000)) + b"\n1\n", "c38, c39 and 9,960 more."),
        (b"x" * 100_000 + b",title\n1,x\n", "(100000 characters), title."),
        (b"external_id,stage,Stage\n1,New,New\n", "Two headings mean stage"),
        (b"x" * 10_000_000, "million characters"),
        (b",,,\n,,,\n", "no headings"),
    ):
        answer = await importer.send({"deals": body})
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "import_file_unusable"
        assert words in answer.json()["detail"]
    assert (await importer.account.read("/v1/imports"))["items"] == []
    assert not [path for path in importer.files_path.rglob("*") if path.is_file()]


async def test_a_map_to_a_column_that_is_taken_is_refused(importer: Importer) -> None:
    body = "external_id,stage,phase\n1,New,New\n"
    answer = await importer.send({"deals": body}, map={"deals": {"phase": "stage", "stage": "stage"}})
    assert answer.status_code == 422
    assert "Two headings mean stage" in answer.json()["detail"]
    # mapped over, the heading of the column's own name steps aside
    done = await importer.run({"deals": body}, map={"deals": {"phase": "stage"}})
    assert done["counts"]["created"] == 1


async def test_names_that_the_organization_lacks_fail_without_create_missing(importer: Importer) -> None:
    headings = "external_id,stage,owner_email,company,contact_email,source"
    rows = [
        "1,New,who@example.com,,,",
        "2,New,Who Else,,,",
        "3,New,,Nobody Inc,,",
        "4,New,,,a@b.example,",
        "5,New,,,,Moon",
    ]
    body = "\n".join([headings, *rows])
    done = await importer.run({"deals": body})
    assert (done["counts"]["failed"], done["counts"]["created"]) == (5, 0)
    failed = csv.DictReader(io.StringIO(await importer.errors(done["id"])))
    assert [row["sluice_field"] for row in failed] == [
        "owner_email", "owner_email", "company", "contact_email", "source",
    ]  # fmt: skip
    done = await importer.run({"deals": body}, create_missing=True)
    assert (done["counts"]["failed"], done["counts"]["created"]) == (0, 5)
    assert importer.one("select email from users where name = 'Who Else'").endswith(".invalid")


async def test_a_name_turned_round_is_the_person_and_nobody_is_made_of_it(importer: Importer) -> None:
    await importer.account.add_user(name="Ada Lovelace")
    rows = [
        '1,New,"Lovelace, Ada"',
        '2,New,"Hopper, Grace"',
        "3,New,Ada Lovelace; Alan Turing",
        "4,New,a@b.example;c@d.example",
    ]
    done = await importer.run({"deals": "\n".join(["external_id,stage,owner_email", *rows])}, create_missing=True)
    assert (done["counts"]["failed"], done["counts"]["created"]) == (3, 1)
    owned = "select users.name from deals join users on users.id = deals.owner_id where external_id = '1'"
    assert importer.one(owned) == "Ada Lovelace"
    assert importer.one("select count(*) from users where name ~ '[,;]' or email ~ '[,;]'") == 0
    [*failed] = csv.DictReader(io.StringIO(await importer.errors(done["id"])))
    advice = "Give the e-mail address of one person, or write the name as Ada Lovelace."
    one = "Leave one of them."
    told = {row["owner_email"]: row["sluice_fix"] for row in failed}
    assert told == {"Hopper, Grace": advice, "Ada Lovelace; Alan Turing": one, "a@b.example;c@d.example": one}
    again = await importer.run({"deals": "external_id,stage,owner_email\n2,New,Grace Hopper"}, create_missing=True)
    assert again["counts"]["created"] == 1


async def test_a_deal_waits_while_one_of_its_rows_is_bad(importer: Importer) -> None:
    files = {
        "deals": "external_id,stage\n1,Qualified\n2,Qualified\n",
        "deal_stage_history": "deal_external_id,stage,entered_at\n"
        "1,New,2025-01-01\n1,Qualified,soon\n2,New,2025-01-01\n2,Qualified,2025-01-05\n9,New,2025-01-01\n",
    }
    done = await importer.run(files)
    assert done["progress"]["deals"] | {"total": 2, "created": 1, "failed": 1} == done["progress"]["deals"]
    history = done["progress"]["deal_stage_history"]
    assert (history["total"], history["created"], history["failed"]) == (5, 2, 3)
    problems = {row["sluice_problem"] for row in csv.DictReader(io.StringIO(await importer.errors(done["id"])))}
    assert {"There is no deal with this external id.", "The deal waits: another of its rows has a problem."} <= problems
    mended = {name: body.replace("soon", "2025-01-03") for name, body in files.items()}
    done = await importer.run(mended)
    assert done["progress"]["deals"]["created"] == 1
    assert done["progress"]["deals"]["unchanged"] == 1
    assert done["progress"]["deal_stage_history"]["failed"] == 1


async def test_only_administrators_import(importer: Importer) -> None:
    rep = await importer.account.add_user()
    answer = await rep.post("/v1/imports", files={"deals": ("deals.csv", b"external_id,stage\n1,New\n")})
    assert answer.status_code == 403
    assert (await rep.get("/v1/imports")).status_code == 403


async def test_options_and_entities_are_checked(importer: Importer) -> None:
    answer = await importer.send({"deals": "external_id,stage\n1,New\n"}, colour="red")
    assert (answer.status_code, answer.json()["code"]) == (422, "import_options_invalid")
    answer = await importer.account.post("/v1/imports", files={"file": ("things.csv", b"a,b\n1,2\n")})
    assert (answer.status_code, answer.json()["code"]) == (422, "import_entity_unknown")
    answer = await importer.account.post("/v1/imports", data={"options": "{}"})
    assert answer.status_code == 422
