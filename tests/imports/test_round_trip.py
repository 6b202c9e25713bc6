"""Exports hold every row, no formula, and what an import reads back as it was."""

import csv
import io
import itertools

import openpyxl
import pyarrow.parquet as pq

from contracts.access import Role
from tests.imports.conftest import Importer

_LISTS = (
    "companies", "contacts", "deals", "deal_stage_history", "products", "deal_line_items", "notes", "activities",
    "tasks",
)  # fmt: skip
_SAME = {
    "deals": "title, amount_minor, currency, status, created_at, closed_at, close_date",
    "products": "name, code, unit_price_minor, currency, is_active",
    "deal_lines": "name, position, quantity, unit_price_minor, discount_percent, total_minor",
    "activities": "kind, subject, body, took_place_at, duration_seconds, direction",
    "tasks": "title, body, created_at, due_at, remind_at, recurrence, completed_at",
}
_ROWS = {"deals": 4, "products": 2, "deal_lines": 2, "activities": 2, "tasks": 2}
_LOGGED = "('deal', 'contact', 'company', 'activity', 'task')"


async def exported(importer: Importer, name: str, **parameters: str) -> bytes:
    answer = await importer.account.get(f"/v1/exports/{name}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_p5_what_is_exported_is_known_again_to_the_cent_here_and_elsewhere(importer: Importer) -> None:
    email = importer.account.email
    done = await importer.run(
        {
            "companies": "external_id,name,industry,employees,country,tags\n"
            "C-1,Northwind,Toys,12,DE,\nC-2,Northwind,,,,Key\n",
            "contacts": "name,email,company_external_id,source,phone,more_emails,more_phones,handles,tags\n"
            "Ada,ada@n.example,C-1,Fair,+49 30 12345,personal: ada@home.example; ada@old.example,"
            "mobile: +49 151 23456789,telegram: @ada,hot; Größe\nBen,,,,call the desk,,,,\n",
            "deals": "external_id,title,stage,amount,currency,created_at,closed_at,company_external_id,contact_email,"
            "lost_reason,tags\n"
            '1,"=cmd()",Won,1.250,KWD,2025-01-01,2025-02-01,C-2,ada@n.example,,Big\n'
            "2,-5,Lost,-50.05,EUR,2025-01-01,2025-02-01 10:30,,,Price,\n"
            "3,'quoted,Proposal,90000,JPY,2025-01-03,,,,,hot\n",
            "deal_stage_history": "deal_external_id,stage,entered_at\n3,New,2025-01-03\n3,Proposal,2025-01-09 08:15\n",
            "products": "code,name,unit_price,currency,is_active\nSEAT,=Seat,1.125,KWD,\n,Box,,,no\n",
            "deal_line_items": "deal_external_id,product_code,name,quantity,unit_price,discount_percent\n"
            "3,SEAT,,1.125,40000,\n3,,Set-up,1,50000,10\n",
            "notes": "body,took_place_at,author_email,contact_email\n"
            f'"=two ""quoted""\nlines",2025-03-01 10:00,{email},ada@n.example\n',
            "activities": "kind,subject,took_place_at,duration_seconds,direction,deal_external_id\n"
            "call,@first,2025-03-02T09:30:00.123456Z,420,out,3\n",
            "tasks": "title,body,created_at,due_at,remind_at,recurrence,completed_at,assignee_email,"
            "company_external_id\n"
            f"-Call,+x,2025-03-03,2099-03-01 09:00,2099-02-28,FREQ=WEEKLY;COUNT=3,,{email},C-1\n"
            "Done,,2025-03-03,,,,2025-03-04 12:00,,\n",
        },
        create_missing=True,
        decimal_comma=False,
    )
    assert done["counts"]["failed"] == 0, await importer.errors(done["id"])
    [pipeline] = (await importer.account.read("/v1/pipelines"))["items"]
    await importer.account.made("/v1/companies", json={"name": "By hand", "domain": "@hand"})
    await importer.account.made(
        "/v1/deals", json={"title": "By hand", "pipeline_id": pipeline["id"], "amount_minor": 12500}
    )
    before = importer.one(f"select count(*) from event_log where aggregate_type in {_LOGGED}")
    files = {name: await exported(importer, name) for name in _LISTS}
    done = await importer.run(files)
    assert (done["counts"]["unchanged"], done["counts"]["failed"]) == (done["counts"]["total"], 0), (
        await importer.errors(done["id"])
    )
    assert importer.one(f"select count(*) from event_log where aggregate_type in {_LOGGED}") == before
    forms = itertools.cycle(("xlsx", "parquet"))
    done = await importer.run({name: await exported(importer, name, format=next(forms)) for name in _LISTS})
    assert (done["counts"]["unchanged"], done["counts"]["failed"]) == (done["counts"]["total"], 0), (
        await importer.errors(done["id"])
    )
    other = Importer(await importer.account.api.sign_up(), importer.database, importer.files_path)
    users = await exported(importer, "users")
    done = await other.run({**files, "users": users.replace(b",owner\r\n", b",admin\r\n")}, create_missing=True)
    assert done["counts"]["failed"] == 0, await other.errors(done["id"])
    cells = "name, email, kind, type, value, is_primary"
    join = "contact_channels as h join contacts as c on c.id = h.contact_id where c.organization_id = %s order by 3, 5"
    mine, theirs = (
        importer.rows(f"select {cells} from {join}", one.account.organization_id) for one in (importer, other)
    )
    assert mine == theirs
    assert [row["value"] for row in mine] == [
        "ada@home.example", "ada@n.example", "ada@old.example", "@ada", "+4915123456789", "+493012345", "call the desk"
    ]  # fmt: skip
    tagged = "select t.name, r.record_kind from record_tags as r join tags as t on t.id = r.tag_id"
    mine, theirs = (
        importer.rows(f"{tagged} where r.organization_id = %s order by 1", one.account.organization_id)
        for one in (importer, other)
    )
    assert mine == theirs
    assert {row["name"] for row in mine} == {"Größe", "hot", "Key", "Big"}
    for table, columns in _SAME.items():
        mine, theirs = (
            importer.rows(
                f"select {columns} from {table} where organization_id = %s order by 1, 2", one.account.organization_id
            )
            for one in (importer, other)
        )
        assert mine == theirs, table
        assert len(mine) == _ROWS[table], mine


async def test_a17_every_format_holds_every_row_and_no_formula(importer: Importer) -> None:
    rows = "".join(f"{n},=1+{n},New,{n}\n" for n in range(1, 5_502))
    await importer.run({"deals": f"external_id,title,stage,amount\n{rows}"})
    found = list(csv.DictReader(io.StringIO((await exported(importer, "deals")).decode("utf-8-sig"))))
    assert len({row["external_id"] for row in found}) == len(found) == 5_501
    assert all(row["title"].startswith("'=1+") for row in found)
    table = pq.read_table(io.BytesIO(await exported(importer, "deals", format="parquet")))
    assert (table.num_rows, table["title"][0].as_py()[:3]) == (5_501, "=1+")
    workbook = openpyxl.load_workbook(io.BytesIO(await exported(importer, "deals", format="xlsx")), read_only=True)
    cells = [row[1] for row in workbook.worksheets[0].iter_rows(min_row=2)]
    assert (len(cells), {cell.data_type for cell in cells}) == (5_501, {"s"})


async def test_an_export_shows_what_the_caller_sees(importer: Importer) -> None:
    rep = await importer.account.add_user(role=Role.REP, record_scope="own")
    await importer.run({"deals": f"external_id,stage,owner_email\n1,New,{rep.email}\n2,New,\n"})
    answer = await rep.get("/v1/exports/deals")
    assert [row["external_id"] for row in csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))] == ["1"]
    assert (await rep.get("/v1/exports/secrets")).status_code == 422
