"""Files of records: kept as what they are, seen by whoever sees the record, gone when nobody has them."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.files.rules import safe_name
from api.files.worker import sweep
from api.kernel.database import Database as Pool
from api.recycle_bin.worker import purge
from contracts.access import Role
from contracts.calls import files
from tests.api.crm.conftest import Crm, Member, assert_problem
from tests.conftest import Database
from tests.factories import start_api

_PDF = b"%PDF-1.7\n" + bytes(range(256)) * 300


async def attach(member: Member, name: str, content: bytes, **about: str) -> httpx.Response:
    return await member.http.post("/v1/files", files={"file": (name, content)}, data=about)


async def attached(member: Member, name: str, content: bytes, **about: str) -> dict[str, Any]:
    answer = await attach(member, name, content, **about)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def contents(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class TestAttaching:
    async def test_comes_back_as_it_was_to_be_saved_and_not_shown(
        self, crm: Crm, owner: Member, tmp_path: Path
    ) -> None:
        deal = await owner.deal()
        file = await attached(owner, "../Angebot «400».pdf", _PDF, deal_id=deal["id"])
        assert (file["name"], file["media_type"], file["size_bytes"]) == (
            "Angebot «400».pdf",
            "application/pdf",
            len(_PDF),
        )
        assert file["is_scanned"] is False
        answer = await owner.get(f"/v1/files/{file['id']}/content")
        assert answer.content == _PDF
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        [event] = crm.events(file["id"])
        assert (event["type"], event["data"]["size_bytes"], event["data"]["deal_id"]) == (
            "file.attached", len(_PDF), deal["id"],
        )  # fmt: skip
        assert "Angebot" not in str(event["data"])
        again = await attached(owner, "copy.pdf", _PDF, deal_id=deal["id"])
        [one] = contents(tmp_path / "files")
        assert one.name == file["sha256"] == again["sha256"]
        assert all(path.stat().st_mode & 0o077 == 0 for path in (one, one.parent, one.parent.parent))
        listed = (await owner.get("/v1/files", params={"deal_id": deal["id"]})).json()["items"]
        assert [one["id"] for one in listed] == [again["id"], file["id"]]
        items = (await owner.get(f"/v1/deals/{deal['id']}/timeline", params={"kind": "file"})).json()["items"]
        assert [item["data"]["name"] for item in items] == ["copy.pdf", "Angebot «400».pdf"]

    @pytest.mark.parametrize(
        ("name", "content", "media_type"),
        [
            ("a.pdf", b"MZ" + bytes(200), "application/octet-stream"),
            ("a.csv", b"a,b\n1,2\n", "text/csv"),
            ("a.pdf", "Grüße".encode(), "text/plain"),
            ("a.xlsx", b"PK\x03\x04" + bytes(60), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            ("empty.txt", b"", "text/plain"),
            ("noise", bytes(range(128, 256)) * 2, "application/octet-stream"),
        ],
    )
    async def test_is_what_its_content_says(self, owner: Member, name: str, content: bytes, media_type: str) -> None:
        deal = await owner.deal()
        assert (await attached(owner, name, content, deal_id=deal["id"]))["media_type"] == media_type

    async def test_what_does_not_fit_is_refused_and_leaves_nothing(self, owner: Member, tmp_path: Path) -> None:
        deal = await owner.deal()
        assert_problem(await attach(owner, "a.txt", b"A"), 422, "about_nothing")
        assert_problem(await owner.http.post("/v1/files", data={"deal_id": deal["id"]}), 422, "nothing_to_attach")
        assert_problem(await owner.post("/v1/files", {"file": "x"}), 422, "nothing_to_attach")
        assert_problem(await attach(owner, "a.txt", b"A", deal_id="x"), 422)
        assert_problem(await attach(owner, "a.txt", b"A", deal=deal["id"]), 422)
        large = await attach(owner, "a.txt", b"A" * (25 * 1024 * 1024 + 1), deal_id=deal["id"])
        assert_problem(large, 413, "payload_too_large")
        assert contents(tmp_path / "files") == []

    async def test_of_a_note_or_a_message_is_about_what_that_is_about(self, crm: Crm, owner: Member) -> None:
        contact = await owner.made("/v1/contacts", {"name": "Ada"})
        note = await owner.made("/v1/notes", {"body": "See the file", "contact_id": contact["id"]})
        file = await attached(owner, "a.txt", b"A", activity_id=note["id"])
        assert (file["activity_id"], file["contact_id"]) == (note["id"], contact["id"])
        rep = crm.member(owner.organization_id, Role.REP)
        for about in ({"activity_id": note["id"]}, {"message_id": note["id"]}, {"contact_id": contact["id"]}):
            assert_problem(await attach(rep, "a.txt", b"A", **about), 422, "unknown_reference")


class TestSeeing:
    async def test_t2_is_for_whoever_sees_the_record(self, crm: Crm, owner: Member, stranger: Member) -> None:
        rep, other, analyst = (crm.member(owner.organization_id, role) for role in (Role.REP, Role.REP, Role.ANALYST))
        deal = await owner.deal(owner_id=str(rep.user_id))
        file = await attached(owner, "a.txt", b"A", deal_id=deal["id"])
        path = f"/v1/files/{file['id']}"
        assert (await rep.get(path)).status_code == 200
        assert (await rep.get(f"{path}/content")).content == b"A"
        for one in (other, stranger):
            for where in (path, f"{path}/content"):
                assert_problem(await one.get(where), 404)
            assert_problem(await one.delete(path, version=1), 404)
            assert (await one.get("/v1/files")).json()["items"] == []
            assert_problem(await attach(one, "b.txt", b"B", deal_id=deal["id"]), 422, "unknown_reference")
        assert_problem(await attach(analyst, "b.txt", b"B", deal_id=deal["id"]), 403)

    async def test_the_same_content_of_two_organizations_is_kept_apart(
        self, owner: Member, stranger: Member, tmp_path: Path
    ) -> None:
        for member in (owner, stranger):
            await attached(member, "a.txt", b"same", deal_id=(await member.deal())["id"])
        assert len(contents(tmp_path / "files")) == 2

    async def test_a_content_that_is_lost_is_said_so(self, owner: Member, tmp_path: Path) -> None:
        file = await attached(owner, "a.txt", b"A", deal_id=(await owner.deal())["id"])
        contents(tmp_path / "files")[0].unlink()
        assert_problem(await owner.get(f"/v1/files/{file['id']}/content"), 404, "file_content_missing")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("C:\\temp\\a.pdf", "a.pdf"),
        ("../../etc/passwd", "passwd"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\r\nb\0.txt", "ab.txt"),
        ("con.txt", "_con.txt"),
        (" ..", "file"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
    ],
)
def test_a_name_is_made_safe(given: str, name: str) -> None:
    assert safe_name(given) == name


@asynccontextmanager
async def clamd(finds: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """ClamAV's daemon as far as INSTREAM goes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        content = b""
        while length := int.from_bytes(await reader.readexactly(4), "big"):
            content += await reader.readexactly(length)
        writer.write(finds(content) + b"\0")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _finds(content: bytes) -> bytes:
    if b"BROKEN" in content:
        return b"INSTREAM size limit exceeded. ERROR"
    return b"stream: Eicar FOUND" if b"EICAR" in content else b"stream: OK"


async def test_what_nobody_has_room_for_is_refused_as_it_comes(crm_database: Database, tmp_path: Path) -> None:
    """An upload that does not say how long it is, and one more than the organization's files may take."""
    api = await start_api(crm_database, files_path=tmp_path, file_max_bytes=200_000, storage_max_bytes=150_000)
    owner = await api.sign_up()
    contact = await owner.made("/v1/contacts", json={"name": "Ada"})
    about, path = {"contact_id": contact["id"]}, "/v1/files"
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        while sent < 100_000_000:
            sent += 50_000
            yield b"a" * 50_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await owner.post(path, content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "storage_full")
    assert sent <= 300_000, "what came later was not read"
    await owner.made(path, files={"file": ("a.txt", b"a" * 100_000)}, data=about)
    assert await owner.ask(files.read_file_storage()) == {"used_bytes": 100_000, "left_bytes": 50_000}
    for answer in await asyncio.gather(
        *(owner.post(path, files={"file": (f"{one}.txt", b"b" * 40_000)}, data=about) for one in range(3))
    ):
        assert answer.status_code in (201, 409)
    assert await owner.ask(files.read_file_storage()) == {"used_bytes": 140_000, "left_bytes": 10_000}
    assert len(contents(tmp_path)) == 2, "what was refused left nothing"
    await api.close()


async def test_a_scanner_sees_each_file_first(crm_database: Database, tmp_path: Path) -> None:
    command = f"""{sys.executable} -c "import sys; b = open(sys.argv[1], 'rb').read(); """
    command += """sys.exit(1 if b'EICAR' in b else 2 if b'BROKEN' in b else 0)" """
    async with clamd(_finds) as address:
        ways: tuple[dict[str, Any], ...] = {"file_clamd": address}, {"file_scan_command": command}
        for number, how in enumerate(ways):
            api = await start_api(crm_database, files_path=tmp_path / str(number), **how)
            owner = await api.sign_up()
            about = {"contact_id": (await owner.made("/v1/contacts", json={"name": "Ada"}))["id"]}
            answers = [
                await owner.post("/v1/files", files={"file": ("a.bin", content)}, data=about)
                for content in (b"fine" * 50_000, b"an EICAR inside", b"BROKEN")
            ]
            assert [one.status_code for one in answers] == [201, 422, 503], answers[-1].text
            assert answers[0].json()["is_scanned"] is True
            assert [one.json()["code"] for one in answers[1:]] == ["file_harmful", "scanner_unavailable"]
            assert len(contents(tmp_path / str(number))) == 1
            await api.close()


async def test_content_goes_when_no_file_has_it_any_more(
    crm: Crm, crm_database: Database, owner: Member, tmp_path: Path
) -> None:
    deal = await owner.deal()
    kept = await attached(owner, "kept.txt", b"kept", deal_id=deal["id"])
    files = [await attached(owner, f"{number}.txt", b"gone", deal_id=deal["id"]) for number in range(2)]
    pool = Pool(crm_database.worker_url, pool_size=2)
    folder = tmp_path / "files"

    async def cleaned() -> set[str]:
        two_days_ago = time.time() - 2 * 86400
        for path in contents(folder):
            os.utime(path, (two_days_ago, two_days_ago))
        await purge(pool)
        await sweep(pool, folder)
        return {path.name for path in contents(folder)}

    try:
        for file, left in zip(files, (2, 1), strict=True):
            await owner.delete(f"/v1/files/{file['id']}", version=1)
            assert len(await cleaned()) == 2, "what lies in the bin can be restored"
            with psycopg.connect(crm.admin_url) as admin:
                admin.execute("update files set deleted_at = now() - interval '91 days' where id = %s", (file["id"],))
            assert len(await cleaned()) == left
        assert await cleaned() == {kept["sha256"]}
        (folder / "attached" / str(owner.organization_id) / "incoming-x").write_bytes(b"broke off")
        assert await sweep(pool, folder) == 0, "it may still be coming"
    finally:
        await pool.close()
