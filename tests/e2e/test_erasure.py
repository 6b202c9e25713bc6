"""C-6, A-13: whoever was erased, and no secret, is in any store of the running product: PostgreSQL to logs."""

import json
import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from deltalake import DeltaTable

from bus.consumer import KafkaRecordConsumer
from bus.records import Partition
from bus.topics import TOPICS
from contracts.settings import KafkaSettings
from runtime.home import Home
from runtime.stack import Stack
from tests.api.privacy.planting import PG_DUMP
from tests.e2e.conftest import SluiceStack
from tests.eventually import eventually

#: In whatever form it is written, of whatever field.
CANARIES = ("Zerlina Quixcanary", "zq.canary@leak.example", "4915199887766", "CANARYTEXT")
#: What holds what was when it was made, until it ends by its age (docs/privacy.md), and PostgreSQL's own files: a dump
#: says what can still be read of them.
_BY_POLICY = ("backups", "postgres")


def _plant(client: httpx.Client) -> str:
    def made(path: str, **body: Any) -> dict[str, Any]:
        found: dict[str, Any] = client.post(path, json=body).raise_for_status().json()
        return found

    name, mail, phone, word = CANARIES
    field = made("/v1/custom-fields", record_kind="contact", name="Passport", type="text", is_personal=True)
    contact = made("/v1/contacts", name=name, email=mail, phone=f"+{phone}", custom={field["id"]: word})
    about = {"contact_id": contact["id"]}
    [pipeline] = client.get("/v1/pipelines").raise_for_status().json()["items"]
    deal = made("/v1/deals", title=f"{word} deal", pipeline_id=pipeline["id"], **about)
    made("/v1/notes", body=f"{name} wrote {word}", **about)
    made("/v1/activities", kind="call", subject=word, body=f"of {mail}", **about)
    made("/v1/tasks", title=f"{word} task", deal_id=deal["id"])
    client.post("/v1/files", files={"file": (f"{word}.txt", word.encode())}, data=about).raise_for_status()
    for wrong in ({"name": name, "email": "no address", "phone": word}, {"name": ["a list", name]}):
        assert client.post("/v1/contacts", json=wrong).status_code == 422  # what is refused is logged, too
    for path in ("/v1/contacts", "/v1/search"):
        assert client.get(path, params={"q": name}).status_code == 200
    client.get(f"/v1/contacts/{word}")
    return str(contact["id"])


def _told_in(raw: Path, organization_id: str) -> set[str]:
    rows = DeltaTable(str(raw)).to_pyarrow_table(filters=[("organization_id", "=", organization_id)])
    return set(rows["type"].to_pylist())


def _dump(stack: Stack) -> Iterator[bytes]:
    url = stack.postgres.url("postgres", stack.secrets.postgres, "sluice")
    done = subprocess.run([str(PG_DUMP), "--no-owner", url], capture_output=True, check=True, env=os.environ)
    yield done.stdout


def _topics(stack: Stack) -> Iterator[bytes]:
    consumer = KafkaRecordConsumer(KafkaSettings(kafka_bootstrap_servers=stack.broker.bootstrap_servers))
    consumer.assign({Partition(topic, number): 0 for topic, (width, _) in TOPICS.items() for number in range(width)})
    silent = 0
    while silent < 5:
        polled = consumer.poll(0.3)
        silent = 0 if polled else silent + 1
        for messages in polled.values():
            yield from (message.value or b"" for message in messages)
    consumer.close()


def _raw(stack: Stack) -> Iterator[bytes]:
    for batch in DeltaTable(str(stack.home.warehouse / "raw" / "events")).to_pyarrow_dataset().to_batches():
        yield json.dumps(batch.to_pylist(), default=str).encode()


def _marts(stack: Stack) -> Iterator[bytes]:
    """Every published version, as text: its files are compressed."""
    for path in stack.home.warehouse.rglob("*.duckdb"):
        if path.parent.name == "published":
            with duckdb.connect(str(path), read_only=True) as version:
                for (table,) in version.execute("select table_name from duckdb_tables()").fetchall():
                    for row in version.execute(f'select to_json(t)::text from "{table}" as t').fetchall():
                        yield row[0].encode()


def _files(stack: Stack) -> Iterator[bytes]:
    """Everything else in the state folder, logs above all, byte by byte."""
    for path in stack.home.path.rglob("*"):
        is_by_policy = path.relative_to(stack.home.path).parts[0] in _BY_POLICY
        if path.is_file() and not is_by_policy:
            yield path.read_bytes()


def _found_in(parts: Iterator[bytes], canaries: Collection[str] = CANARIES) -> set[str]:
    forms = {
        one: (one.lower().encode(), one.lower().encode("utf-16-le"), one.encode().hex().encode()) for one in canaries
    }
    found: set[str] = set()
    for part in parts:
        lower = part.lower()
        found |= {one for one, written in forms.items() if any(form in lower for form in written)}
    return found


#: What an account signs in with.
SECRETS = {name: f"CANARYSECRET{name}" for name in ("session", "password", "access_token", "refresh_token", "code")}


def _sign_in_with_secrets(client: httpx.Client) -> None:
    """As administrators and connectors do, and as somebody does who makes a mistake."""
    body = {"channel": "telegram", "name": "Ours", "address": "+4930123"}
    account = client.post("/v1/bd-accounts", json=body).raise_for_status().json()["id"]
    path = f"/v1/bd-accounts/{account}"
    client.post(f"{path}/secret", json={"values": SECRETS}).raise_for_status()
    key = {"name": "Channels", "scopes": ["accounts:read", "accounts:write", "channels:write"], "role": "admin"}
    service = {"Authorization": f"Bearer {client.post('/v1/api-keys', json=key).raise_for_status().json()['key']}"}
    held = client.post(f"{path}/lease", json={"holder": "one"}, headers=service).raise_for_status().json()
    found = client.post(f"{path}/connection", json={"epoch": held["epoch"]}, headers=service).raise_for_status().json()
    assert found["secret"] == SECRETS
    for wrong in ({"values": SECRETS | {"password": {"not": SECRETS["password"]}}}, {"secret": SECRETS}):
        assert client.post(f"{path}/secret", json=wrong).status_code == 422
    client.post(f"{path}/state", json={"state": "active"}, headers=service).raise_for_status()


@pytest.mark.slow  # reads all that the stack holds; tests/channels/test_mail.py has the quick form
def test_a13_secrets_of_accounts_are_in_no_store(sluice: SluiceStack) -> None:
    home = Home(sluice.home)
    stack = Stack(home, sluice.ports, home.secrets())
    with closing(sluice.sign_up("secrets")) as client:
        organization_id = client.get("/v1/me").raise_for_status().json()["organization"]["id"]
        _sign_in_with_secrets(client)
        raw = stack.home.warehouse / "raw" / "events"
        eventually(lambda: "bd_account.connected" in _told_in(raw, organization_id), what="the warehouse knows")
    assert _found_in(_dump(stack), ["secrets@example.org"]), "a dump is searched for what it holds"
    for store in (_dump, _topics, _raw, _marts, _files):
        assert _found_in(store(stack), SECRETS.values()) == set(), store.__name__


@pytest.mark.slow  # reads all that the stack holds; tests/api/privacy has the quick form
def test_c6_canaries_of_who_was_erased_are_in_no_store(sluice: SluiceStack) -> None:
    home = Home(sluice.home)
    stack = Stack(home, sluice.ports, home.secrets())
    raw = stack.home.warehouse / "raw" / "events"
    client = sluice.sign_up("canary")
    with closing(client):
        organization_id = client.get("/v1/me").raise_for_status().json()["organization"]["id"]
        contact_id = _plant(client)
        assert _found_in(_dump(stack)) == set(CANARIES), "the canaries sing"
        assert CANARIES[3] in _found_in(_files(stack)), "in a file of theirs"
        client.post(f"/v1/contacts/{contact_id}/erase").raise_for_status()
        eventually(lambda: "contact.erased" in _told_in(raw, organization_id), what="the warehouse knows")
    for store in (_dump, _topics, _raw, _marts, _files):
        assert _found_in(store(stack)) == set(), store.__name__
    assert organization_id.encode() in b"".join(_topics(stack)), "all topics were read"


def _give_secrets(client: httpx.Client) -> list[str]:
    """What people sign in with, and what programs of theirs do; given, refused, and shown once."""

    def made(path: str, **body: Any) -> dict[str, Any]:
        found: dict[str, Any] = client.post(path, json=body).raise_for_status().json()
        return found

    given = [f"CanarySecret{number} of a long phrase" for number in range(2)]
    user = {"email": "keeper@example.org", "name": "Keeper", "password": given[0], "role": "rep"}
    made("/v1/users", **user)
    client.post("/v1/users", json={**user, "role": "emperor", "password": given[1]})
    client.post("/v1/auth/login", json={"email": user["email"], "password": given[1]})
    login = client.post("/v1/auth/login", json={"email": user["email"], "password": given[0]}).raise_for_status().json()
    hook = made("/v1/webhooks", url="https://example.com/hook")
    key = made("/v1/api-keys", name="Nightly", scopes=["deals:read"])["key"]
    client.get("/v1/deals", headers={"Authorization": f"Bearer {key}"}).raise_for_status()
    seed = made("/v1/me/second-factor")["seed"]
    return [*given, login["access_token"], login["refresh_token"], hook["secret"], key, seed]


@pytest.mark.slow  # as above; the quick forms are of each kind of secret
def test_a13_secrets_of_people_and_programs_are_in_no_store(sluice: SluiceStack) -> None:
    home = Home(sluice.home)
    stack = Stack(home, sluice.ports, home.secrets())
    client = sluice.sign_up("keys")
    with closing(client):
        organization_id = client.get("/v1/me").raise_for_status().json()["organization"]["id"]
        secrets = _give_secrets(client)
        raw = stack.home.warehouse / "raw" / "events"
        eventually(lambda: "user.created" in _told_in(raw, organization_id), what="the warehouse knows")
    for store in (_dump, _topics, _raw, _marts, _files):
        assert _found_in(store(stack), secrets) == set(), store.__name__
