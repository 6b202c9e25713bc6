"""What a row does that speaks of a record which is there, and ids of records that are part of others now."""

from tests.imports.conftest import Importer

_FILE = "external_id,name,email,phone\nC-1,Ada,ada@acme.example,\n"


async def test_ids_of_merged_records_keep_working(importer: Importer) -> None:
    await importer.run({"contacts": _FILE + "C-2,Ada Lovelace,lovelace@acme.example,\n"})
    ids = {row["external_id"]: row["id"] for row in importer.rows("select external_id, id from contacts")}
    await importer.account.made(f"/v1/contacts/{ids['C-1']}/merge", json={"other_ids": [str(ids["C-2"])]})
    done = await importer.run({"contacts": "external_id,name,phone\nC-2,Ada,+49 30 1234567\n"})
    assert done["counts"]["updated"] == 1
    assert importer.rows("select id, external_id, phone from contacts") == [
        {"id": ids["C-1"], "external_id": "C-1", "phone": "+49301234567"}
    ]
    deals = {"deals": "external_id,stage,contact_external_id\n1,New,C-2\n"}
    assert (await importer.run(deals))["counts"]["failed"] == 0
    assert importer.one("select contact_id from deals") == ids["C-1"]


async def test_on_duplicate_says_what_a_known_one_means(importer: Importer) -> None:
    await importer.run({"contacts": _FILE})
    again = {"contacts": "name,email\nAda L.,ada@acme.example\n"}
    skipped = await importer.run(again, on_duplicate="skip")
    assert (skipped["counts"]["unchanged"], importer.one("select name from contacts")) == (1, "Ada")
    created = await importer.run(again, on_duplicate="create")
    assert (created["counts"]["created"], importer.one("select count(*) from contacts")) == (1, 2)
