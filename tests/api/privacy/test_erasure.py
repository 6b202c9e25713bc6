"""G-erase: whoever is erased is nowhere any more, and the receipt says what was done."""

import logging

import pytest

from api.kernel.errors import Conflict
from api.privacy import endpoints
from contracts.access import Role
from tests.api.privacy.planting import WORD, dump_of, plant, traces_in
from tests.factories import Account
from tests.imports.conftest import Importer


async def test_an_erasure_that_is_undone_keeps_contents_of_files(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = importer.account
    contact = await owner.made("/v1/contacts", json={"name": "Ada"})
    about = {"files": {"file": ("a.txt", b"A")}, "data": {"contact_id": contact["id"]}}
    file = await owner.made("/v1/files", **about)

    def fail(*_: object, **__: object) -> None:
        raise Conflict

    with monkeypatch.context() as broken:
        broken.setattr(endpoints, "note", fail)
        assert (await owner.post(f"/v1/contacts/{contact['id']}/erase")).status_code == 409
    assert (await owner.get(f"/v1/files/{file['id']}/content")).content == b"A"
    await owner.made(f"/v1/contacts/{contact['id']}/erase")
    assert [path for path in importer.files_path.rglob("*") if path.is_file()] == []


async def test_who_is_erased_is_nowhere_any_more(importer: Importer, caplog: pytest.LogCaptureFixture) -> None:
    owner = importer.account
    with caplog.at_level(logging.DEBUG):
        contact = await plant(importer)
        assert len(traces_in(dump_of(importer.database))) >= 4  # the canaries sing
        assert any(path.is_file() for path in importer.files_path.rglob("*"))
        shown = await owner.read(f"/v1/contacts/{contact['id']}/personal-data")
        told = str(shown["tables"])
        missing = [f"{WORD}-{number}" for number in range(1, 18) if f"{WORD}-{number}" not in told]
        assert not missing, "an export shows all of it"
        receipt = await owner.made(f"/v1/contacts/{contact['id']}/erase")
    assert traces_in(dump_of(importer.database)) == []
    assert traces_in(caplog.text) == []
    for path in importer.files_path.rglob("*"):
        assert not path.is_file() or traces_in(path.read_bytes().decode(errors="replace")) == [], path
    assert receipt["erased"].keys() >= {"contacts", "messages", "message_payloads", "deals", "activities", "tasks"}
    assert receipt["erased"]["files"] == 1
    assert receipt["struck_out"]["activities"] == 1
    assert receipt["import_files"] == 1
    assert {one["where"] for one in receipt["kept"]} >= {"audit_log", "suppressions", "backups"}
    assert (await owner.read("/v1/erasures"))["items"] == [receipt]
    left = await owner.read(f"/v1/contacts/{contact['id']}")
    assert (left["name"], left["email"], left["version"]) == ("Erased", None, contact["version"] + 1)
    assert (await owner.read("/v1/contacts", params={"q": "Bob"}))["items"] != []
    [entry] = (await owner.read("/v1/audit", params={"action": "contact.erased"}))["items"]
    assert entry["resource_id"] == contact["id"]


async def test_erasing_is_for_administrators_and_ones_own_contacts(owner: Account, stranger: Account) -> None:
    contact = await owner.made("/v1/contacts", json={"name": "Ada Lovelace"})
    rep = await owner.add_user(role=Role.REP)
    for way in ("erase", "personal-data"):
        call = rep.post if way == "erase" else rep.get
        assert (await call(f"/v1/contacts/{contact['id']}/{way}")).status_code == 403
        foreign = stranger.post if way == "erase" else stranger.get
        assert (await foreign(f"/v1/contacts/{contact['id']}/{way}")).status_code == 404
    assert (await owner.read(f"/v1/contacts/{contact['id']}"))["name"] == "Ada Lovelace"
