"""Everything of an organization in one archive, and nothing of anybody else."""

import io
import json
import zipfile
from typing import Any

import psycopg
import pytest

from api.privacy import archive as archiving
from contracts.access import Role
from tests.conftest import Database
from tests.factories import Account


def rows_of(archive: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"tables/{table}.ndjson").decode().splitlines()]


async def test_an_owner_takes_everything_along(
    api_database: Database, owner: Account, stranger: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = await owner.made("/v1/contacts", json={"name": "Ada Lovelace"})
    about = {"contact_id": contact["id"]}
    file = await owner.made("/v1/files", files={"file": ("a.txt", b"attached")}, data=about)
    binned = await owner.made("/v1/contacts", json={"name": "In the bin"})
    assert (await owner.delete(f"/v1/contacts/{binned['id']}")).status_code == 204
    key = await owner.made("/v1/api-keys", json={"name": "K", "scopes": ["contacts:read"]})
    await owner.made("/v1/webhooks", json={"url": "https://example.com/hook"})
    await stranger.made("/v1/contacts", json={"name": "CANARY"})
    with psycopg.connect(api_database.admin_url) as admin:  # more than a page
        admin.execute(
            "insert into tags (organization_id, id, name)"
            " select %s, uuidv7(), 'tag ' || n from generate_series(1, 4500) as n",
            (owner.organization_id,),
        )
    monkeypatch.setattr(archiving, "_PAGE_BYTES", 8_000)  # and many of those, however few rows fill one
    path = f"/v1/organizations/{owner.organization_id}/archive"
    answer = await owner.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].endswith('.zip"')
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert {row["name"] for row in rows_of(archive, "contacts")} == {"Ada Lovelace", "In the bin"}
    assert len({row["id"] for row in rows_of(archive, "tags")}) == 4500
    assert archive.read(f"files/{file['sha256']}") == b"attached"
    assert json.loads(archive.read("manifest.json"))["rows"]["contacts"] == 2
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"CANARY" not in everything
    assert key["key"].encode() not in everything
    assert "digest" not in rows_of(archive, "api_keys")[0]
    assert not {"sealed", "sealed_before"} & rows_of(archive, "webhooks")[0].keys()
    [noted] = (await owner.read("/v1/audit", params={"action": "organization.archived"}))["items"]
    assert noted["actor_id"] == str(owner.user_id)
    admin_user = await owner.add_user(role=Role.ADMIN)
    assert (await admin_user.get(path)).status_code == 403
    assert (await stranger.get(path)).status_code == 404
