"""Files as people have them: headings of their own, semicolons, decimal commas, days first, Cyrillic."""

import csv
import io

import pytest

from tests.imports.conftest import Importer

_MAP = {"Nr": "external_id", "Sache": "title", "Phase": "stage", "Wert": "amount", "Beginn": "created_at"}


async def test_map_semicolon_decimal_comma_and_day_first(importer: Importer) -> None:
    body = (
        "Nr;Sache;Phase;Wert;Beginn;Notiz\n"
        'A1;"Ofen; groß";New;1.234,56;03/04/2025;x\n'
        "A2;Herd;Qualified;12,5;31.12.2024;\n"
    )
    done = await importer.run({"deals": body}, map={"deals": _MAP}, day_first=True, decimal_comma=True)
    assert done["counts"]["created"] == 2, done
    assert any("Notiz" in warning for warning in done["warnings"])
    found = importer.rows("select title, amount_minor, currency, created_at::text from deals order by external_id")
    assert found[0] == {
        "title": "Ofen; groß", "amount_minor": 123456, "currency": "USD", "created_at": "2025-04-03 00:00:00+00",
    }  # fmt: skip
    assert found[1]["amount_minor"] == 1250
    assert found[1]["created_at"].startswith("2024-12-31")


@pytest.mark.parametrize("encoding", ["cp1251", "utf-8-sig", "utf-16", "iso-8859-1"])
async def test_encodings_are_recognised(importer: Importer, encoding: str) -> None:
    title = "Café Zürich" if encoding == "iso-8859-1" else "Поставка печей"
    body = f"external_id,title,stage\n1,{title},New\n".encode(encoding)
    done = await importer.run({"deals": body})
    assert done["counts"]["created"] == 1, done
    assert importer.one("select title from deals") == title


async def test_an_encoding_can_be_said(importer: Importer) -> None:
    body = "external_id;title;stage\n1;Ё;New\n".encode("cp1251")
    await importer.run({"deals": body}, encoding="cp1251", delimiter=";")
    assert importer.one("select title from deals") == "Ё"


async def test_the_zone_of_the_organization_decides_what_a_day_is(importer: Importer) -> None:
    organization = importer.account.organization_id
    await importer.account.patch(f"/v1/organizations/{organization}", json={"time_zone": "Asia/Tokyo"})
    await importer.run({"deals": "external_id,stage,created_at\n1,New,2025-05-02\n2,New,2025-05-02T00:00:00Z\n"})
    found = importer.rows("select created_at::text from deals order by external_id")
    assert [row["created_at"] for row in found] == ["2025-05-01 15:00:00+00", "2025-05-02 00:00:00+00"]


async def test_amounts_are_exact_in_every_currency(importer: Importer) -> None:
    body = "external_id,stage,amount,currency\n1,New,26.85120450862128,EUR\n2,New,1200,JPY\n3,New,1.2345,KWD\n"
    await importer.run({"deals": body})
    found = importer.rows("select amount_minor from deals order by external_id")
    assert [row["amount_minor"] for row in found] == [2685, 1200, 1235]


async def test_a_country_is_one_of_iso_3166_and_advice_on_another_code_works(importer: Importer) -> None:
    body = "external_id,name,country\n1,Acme,de\n2,Bolt,UK\n3,Cone,XX\n4,Dash,GB\n"
    done = await importer.run({"companies": body})
    assert (done["counts"]["created"], done["counts"]["failed"]) == (2, 2), done
    rows = list(csv.DictReader(io.StringIO(errors := await importer.errors(done["id"]))))
    assert [row["sluice_value"] for row in rows] == ["UK", "XX"]
    assert rows[0]["sluice_fix"] == "Use GB: so ISO 3166-1 writes UK."
    done = await importer.run({"companies": errors.replace("Bolt,UK", "Bolt,GB").replace("Cone,XX", "Cone,FR")})
    assert done["counts"]["created"] == 2, done
    found = importer.rows("select country from companies order by external_id")
    assert [row["country"] for row in found] == ["DE", "GB", "FR", "GB"]


async def test_a_date_that_names_another_weekday_is_an_error_of_its_row(importer: Importer) -> None:
    body = (
        "external_id,title,stage,created_at\n"
        '1,a,New,"Mon, 3 Feb 2025"\n2,b,New,"Tue, 3 Feb 2025"\n'
        "3,c,New,Thurs 6 February 2025 10:00\n4,d,New,Friday February 6 2025\n"
    )
    done = await importer.run({"deals": body})
    assert (done["counts"]["created"], done["counts"]["failed"]) == (2, 2), done
    rows = list(csv.DictReader(io.StringIO(await importer.errors(done["id"]))))
    assert [row["sluice_value"] for row in rows] == ["Tue, 3 Feb 2025", "Friday February 6 2025"]
    assert {row["sluice_problem"] for row in rows} == {"The date is another day of the week."}


async def test_an_error_file_can_be_mended_and_imported_again(importer: Importer) -> None:
    body = 'external_id,title,stage,amount\n1,"=cmd()",New,10\n2,"=cmd(), again",Nowhere,x\n3,fine,New,x\n'
    done = await importer.run({"deals": body})
    assert (done["counts"]["created"], done["counts"]["failed"]) == (1, 2)
    errors = await importer.errors(done["id"])
    rows = list(csv.DictReader(io.StringIO(errors)))
    assert [row["sluice_row"] for row in rows] == ["3", "4"]
    assert rows[0]["title"] == "'=cmd(), again"
    assert rows[0]["sluice_field"] == "amount"
    assert rows[1]["sluice_value"] == "x"
    assert all(row["sluice_fix"] for row in rows)
    mended = errors.replace("Nowhere,x", "New,5").replace("fine,New,x", "fine,New,7")
    done = await importer.run({"deals": mended})
    assert done["counts"]["created"] == 2, done
    assert importer.one("select title from deals where external_id = '2'") == "=cmd(), again"


async def test_what_a_map_said_is_proposed_the_next_time_and_can_be_forgotten(importer: Importer) -> None:
    body = "Nr,Phase,Wert,Bemerkung,created_at\n1,New,7,x,2026-01-02\n"
    mapped = {"deals": {"Nr": "external_id", "#2": "stage", "Wert": "amount", "Bemerkung": ""}}
    assert (await importer.send({"deals": body}, preview=True)).status_code == 422
    shown = (await importer.send({"deals": body}, preview=True, map=mapped)).json()
    assert (await importer.account.read("/v1/imports/headings"))["items"] == [], "a preview teaches nothing"
    await importer.run({"deals": body}, map=mapped)
    shown = (await importer.send({"deals": body.replace("Wert", "WERT")}, preview=True)).json()
    [file] = shown["files"]
    assert file["map"] == {"Nr": "external_id", "Phase": "stage", "WERT": "amount", "created_at": "created_at"}
    assert [one for one in file["guesses"] if "'WERT' is read as amount, as it was in an import of" in one], file
    again = await importer.run({"deals": body})
    assert again["counts"]["unchanged"] == 1
    assert any("'Nr' is read as external_id" in one for one in again["warnings"])
    # what the file itself says counts more, and the map of an import most
    plain = "external_id,stage,amount,Wert\n1,New,8,9\n"
    [file] = (await importer.send({"deals": plain}, preview=True)).json()["files"]
    assert file["first_rows"][0]["amount"] == "8"
    [file] = (await importer.send({"deals": plain}, preview=True, map={"deals": {"#4": "amount"}})).json()["files"]
    assert file["first_rows"][0]["amount"] == "9"
    assert (await importer.send({"deals": body}, preview=True, use_memory=False)).status_code == 422
    # what was left out for another heading counts where that one is missing
    both = {"deals": {"amount": "", "Wert": "amount"}}
    await importer.run({"deals": plain}, map=both)
    [file] = (await importer.send({"deals": plain}, preview=True)).json()["files"]
    assert file["first_rows"][0]["amount"] == "9"
    [file] = (await importer.send({"deals": plain.replace("Wert", "x")}, preview=True)).json()["files"]
    assert file["first_rows"][0]["amount"] == "8"
    learned = {one["heading"]: one for one in (await importer.account.read("/v1/imports/headings"))["items"]}
    assert {name: one["column_name"] for name, one in learned.items()} == {
        "nr": "external_id", "phase": "stage", "wert": "amount", "bemerkung": "", "amount": "",
    }  # fmt: skip
    gone = f"/v1/imports/headings/{learned['nr']['id']}"
    assert (await importer.account.delete(gone, version=1)).status_code == 204
    assert (await importer.account.delete(gone, version=1)).status_code == 404
    assert (await importer.send({"deals": body}, preview=True)).status_code == 422
    other = Importer(await importer.account.api.sign_up(), importer.database, importer.files_path)
    assert (await other.account.read("/v1/imports/headings"))["items"] == []
