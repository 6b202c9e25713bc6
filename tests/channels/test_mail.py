"""E-mail against Dovecot and aiosmtpd: nothing is lost, nothing is doubled, nobody is written to twice."""

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from imapclient import SEEN, IMAPClient

from ingest.channels import mail
from ingest.channels.mail import MailReader, deliver
from ingest.channels.mailbox_reader import Mail, Mailbox, MailServer
from ingest.channels.reaching import HostRefusedError
from tests.api.crm.conftest import Crm, Member
from tests.channels.conftest import Connecting, Connection, soon
from tests.channels.dovecot import Dovecot
from tests.mailbox import smtp_server


@pytest.fixture(autouse=True)
def local_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of these tests are on this machine."""
    monkeypatch.setenv("SLUICE_OUTGOING_ALLOW", "127.0.0.1/32")


def written(number: int, text: str = "", **headers: str) -> bytes:
    made = EmailMessage()
    made["From"] = "Ada <ada@acme.example>"
    made["To"] = "sales@us.example"
    made["Subject"] = headers.pop("Subject", f"Number {number}")
    made["Message-ID"] = f"<n{number}@acme.example>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text or f"Text {number}")
    return made.as_bytes()


async def mailbox(connecting: Connecting, dovecot: Dovecot, **more: Any) -> Connection:
    made: Connection = await connecting(
        "email",
        "sales@us.example",
        secret={"password": dovecot.password},
        username=dovecot.username,
        imap_host="127.0.0.1",
        imap_port=dovecot.port,
        imap_security="none",
        smtp_security="none",
        smtp_host="127.0.0.1",
        **more,
    )
    return made


async def reading(connection: Connection) -> MailReader:
    reader = MailReader(connection.api, connection.held, await connection.api.connection(connection.held))
    await reader.open()
    return reader


async def read_all(connection: Connection) -> None:
    reader = await reading(connection)
    while await reader.read():
        pass
    await reader.close()


async def test_what_was_there_and_what_comes_is_taken_in_once(connecting: Connecting, dovecot: Dovecot) -> None:
    dovecot.append(*(written(number) for number in range(120)))
    connection = await mailbox(connecting, dovecot)
    reader = await reading(connection)
    while await reader.read():
        pass
    dovecot.append(written(120), written(121, References="<n120@acme.example>"))
    await reader.read()
    await reader.close()
    connection = await connection.again()
    await read_all(connection)  # from the cursor that was kept
    found = await connection.messages()
    assert sorted(message["text"].strip() for message in found) == sorted(f"Text {one}" for one in range(122))
    threads = {message["text"].strip(): message["conversation_id"] for message in found}
    assert threads["Text 120"] == threads["Text 121"] != threads["Text 119"]


def _with_file(name: str, content: bytes, kind: str, *, number: int) -> bytes:
    given = EmailMessage()
    given["From"], given["To"], given["Message-ID"] = (
        "ada@acme.example",
        "sales@us.example",
        f"<f{number}@acme.example>",
    )
    given.set_content(f"A file, {number}")
    main, _, sub = kind.partition("/")
    given.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return given.as_bytes()


async def test_files_come_with_mails_of_any_size_and_go_with_ours(connecting: Connecting, dovecot: Dovecot) -> None:
    html, large = b"<script>small</script>", bytes(700_000)
    dovecot.append(
        _with_file("Angebot f\u00fcr\u202e Sie.html", html, "text/html", number=1),
        _with_file("large.zip", large, "application/zip", number=2),
    )
    with smtp_server() as smtp:
        connection = await mailbox(connecting, dovecot, smtp_port=smtp.port)
        running = asyncio.create_task(mail.connect(connection.api, connection.held))

        async def both() -> list[dict[str, Any]]:
            found = await connection.messages()
            return found if len(found) == 2 else []

        small, other = sorted(await soon(both), key=lambda one: str(one["text"]))
        [named] = small["details"]["attachments"]
        assert (named["name"], named["size"], named["part"]) == ("Angebot für Sie.html", 22, "2")
        path = f"/v1/messages/{small['id']}/attachments"
        shown = await connection.owner.get(f"{path}/2")
        assert shown.content == html
        assert shown.headers["content-type"] == "application/octet-stream"
        assert shown.headers["content-disposition"] == "attachment; filename*=UTF-8''Angebot%20f%C3%BCr%20Sie.html"
        codes = [(await connection.owner.get(f"{path}/{part}")).json()["code"] for part in ("1", "4", "2.1", "x")]
        assert codes == ["not_found", "not_found", "not_found", "validation_failed"]

        async def kept() -> list[dict[str, Any]]:
            answer = await connection.owner.get("/v1/files", params={"message_id": other["id"]})
            return list(answer.json()["items"])

        [file] = await soon(kept)
        assert (file["name"], file["size_bytes"]) == ("large.zip", len(large))
        assert other["details"]["attachments"][0]["part"] is None
        path = f"/v1/conversations/{other['conversation_id']}/messages"
        await connection.owner.made(path, {"text": "It is back", "file_ids": [file["id"]]})
        [sent] = await soon(lambda: connection.messages(state="sent"))
        assert [one["name"] for one in sent["details"]["attachments"]] == ["large.zip"]
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        [given] = smtp.mails
        [attached] = list(given.iter_attachments())
        assert (attached.get_filename(), attached.get_content()) == ("large.zip", large)


async def test_other_uids_are_read_anew_and_doubled_never(connecting: Connecting, dovecot: Dovecot) -> None:
    dovecot.append(*(written(number) for number in range(5)))
    connection = await mailbox(connecting, dovecot)
    await read_all(connection)
    await connection.api.keep_cursor(
        connection.held, {"folders": {"INBOX": {"uidvalidity": 1, "uid": 900, "low": 1, "modseq": 7}}}
    )
    connection = await connection.again()
    dovecot.append(written(5))
    await read_all(connection)
    assert len(await connection.messages()) == 6


def _with_extensions(monkeypatch: pytest.MonkeyPatch, extensions: str) -> list[list[str]]:
    """A server with these; answers what it is asked to search for."""
    asked: list[list[str]] = []
    search = IMAPClient.search

    def noting(self: IMAPClient, criteria: list[str], *more: Any) -> Any:
        asked.append(criteria)
        return search(self, criteria, *more)

    monkeypatch.setattr(IMAPClient, "search", noting)
    if "QRESYNC" not in extensions:
        monkeypatch.setattr(Mailbox, "_enabled", lambda *_: False)
    if "CONDSTORE" not in extensions:
        selected = IMAPClient.select_folder

        def plain(self: IMAPClient, folder: str, readonly: bool = False) -> dict[bytes, Any]:
            return {key: said for key, said in selected(self, folder, readonly).items() if key != b"HIGHESTMODSEQ"}

        monkeypatch.setattr(IMAPClient, "select_folder", plain)
    return asked


@pytest.mark.parametrize("extensions", ["CONDSTORE QRESYNC", "CONDSTORE", ""])
async def test_what_was_deleted_and_read_while_nobody_looked_is_told(
    connecting: Connecting, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, extensions: str
) -> None:
    dovecot.append(*(written(number) for number in range(6)))
    connection = await mailbox(connecting, dovecot)
    asked = _with_extensions(monkeypatch, extensions)
    await read_all(connection)
    connection = await connection.again()
    with dovecot.client() as imap:
        imap.select_folder("INBOX")
        first, second, third, *_ = sorted(imap.search("ALL"))
        imap.add_flags([second, third], [SEEN])
        imap.add_flags([third], [rb"\Flagged"])
        imap.delete_messages([first])
        imap.expunge()
    dovecot.append(written(6))
    asked.clear()
    await read_all(connection)
    if "QRESYNC" in extensions:
        assert [criteria for criteria in asked if not criteria[1].endswith(":*")] == []
    messages = {message["text"].strip(): message for message in await connection.messages()}
    assert len(messages) == 7
    assert {text for text, one in messages.items() if "gone_at" in one["details"]} == {"Text 0"}
    assert messages["Text 0"]["removed_at"] is None  # its words stay, whoever tidies up a mailbox
    threads = (await connection.owner.get("/v1/conversations")).json()["items"]
    unread = {one["id"]: one["unread_count"] for one in threads}
    assert {text for text, one in messages.items() if not unread[one["conversation_id"]]} == {"Text 1", "Text 2"}
    before = {text: one["version"] for text, one in messages.items()}
    connection = await connection.again()
    await read_all(connection)  # told once
    assert {one["text"].strip(): one["version"] for one in await connection.messages()} == before


async def test_a_mail_that_comes_back_is_there_again_and_one_that_was_read_before_counts_as_read(
    connecting: Connecting, dovecot: Dovecot
) -> None:
    with dovecot.client() as imap:
        imap.append("INBOX", written(1), [SEEN])
        imap.append("INBOX", written(2, References="<n1@acme.example>"))
    connection = await mailbox(connecting, dovecot)
    await read_all(connection)
    [thread] = (await connection.owner.get("/v1/conversations")).json()["items"]
    assert thread["unread_count"] == 1
    with dovecot.client() as imap:
        imap.select_folder("INBOX")
        imap.delete_messages(imap.search("ALL"))
        imap.expunge()
    reader = await reading(connection)
    await reader.read()
    assert {"gone_at" in one["details"] for one in await connection.messages()} == {True}
    dovecot.append(written(1))
    await reader.read()
    await reader.close()
    assert ["gone_at" in one["details"] for one in await connection.messages()] == [False, True]


async def test_nothing_is_told_to_be_gone_where_uids_begin_anew(connecting: Connecting, dovecot: Dovecot) -> None:
    dovecot.append(*(written(number) for number in range(5)))
    connection = await mailbox(connecting, dovecot)
    await read_all(connection)
    connection = await connection.again()
    with dovecot.client() as imap:
        before = imap.select_folder("INBOX")[b"UIDVALIDITY"]
        imap.delete_messages(imap.search("ALL")[:1])
        imap.expunge()
    dovecot.begin_anew()
    dovecot.append(written(5))
    with dovecot.client() as imap:
        assert imap.select_folder("INBOX")[b"UIDVALIDITY"] != before
    await read_all(connection)
    messages = await connection.messages()
    assert sorted(one["text"].strip() for one in messages) == [f"Text {number}" for number in range(6)]
    assert [one for one in messages if "gone_at" in one["details"]] == []


async def test_one_of_100_that_was_dropped_is_noticed_and_healed(
    crm: Crm, connecting: Connecting, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.append(*(written(number) for number in range(100)))
    connection = await mailbox(connecting, dovecot)
    fetch = Mailbox.fetch

    def forgetful(self: Mailbox, uids: Sequence[int]) -> list[Mail]:
        return [one for one in fetch(self, uids) if b"Text 41" not in one.raw]

    with monkeypatch.context() as patched:
        patched.setattr(Mailbox, "fetch", forgetful)
        await read_all(connection)
    assert len(await connection.messages()) == 99
    reader = await reading(connection)
    assert await reader.compare() == ["<n41@acme.example>"]
    await reader.close()
    assert len(await connection.messages()) == 100
    days = (await connection.owner.get(f"/v1/bd-accounts/{connection.held.id}/days")).json()["items"]
    today = datetime.now(UTC).date().isoformat()
    assert [(day["provider"], day["stored"], day["missing"], day["healed"]) for day in days if day["day"] == today] == [
        (100, 100, 0, 1)
    ]
    with psycopg.connect(crm.admin_url) as admin:
        told = admin.execute(
            "select data ->> 'missing', data ->> 'healed' from event_log where type = 'account_day.compared'"
            " order by aggregate_version"
        ).fetchall()
    assert told == [("1", "0"), ("0", "1")]


async def test_a_kept_connection_sends_and_receives(connecting: Connecting, dovecot: Dovecot) -> None:
    with smtp_server() as smtp:
        connection = await mailbox(connecting, dovecot, smtp_port=smtp.port)
        running = asyncio.create_task(mail.connect(connection.api, connection.held))
        dovecot.append(written(1, Subject="Prices?"))
        found = await soon(connection.messages)
        path = f"/v1/conversations/{found[0]['conversation_id']}/messages"
        await connection.owner.made(path, {"text": "Here — they are", "html": "<p>Here <b>they</b> are</p>"})
        await soon(lambda: connection.messages(state="sent"))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        [sent] = smtp.mails
        assert (sent["To"], sent["Subject"]) == ("ada@acme.example", "Re: Prices?")
        assert (sent["In-Reply-To"], sent["References"]) == ("<n1@acme.example>",) * 2
        assert sent.get_body(("plain",)).get_content().strip() == "Here — they are"  # type: ignore[union-attr]
        assert (await connection.account())["state"] == "active"
        dovecot.append(sent.as_bytes(), folder="Sent")
        connection = await connection.again()
        await read_all(connection)
        assert len(await connection.messages()) == 2


async def test_a13_the_password_is_nowhere_to_be_read(crm: Crm, connecting: Connecting, dovecot: Dovecot) -> None:
    connection = await mailbox(connecting, dovecot)
    with psycopg.connect(crm.admin_url) as admin:
        for table in ("bd_accounts", "event_log", "idempotency_keys"):
            rows = admin.execute(f"select * from {table}".encode()).fetchall()
            assert "CANARY" not in str(rows)
            assert b"CANARY".hex() not in str(rows)
    shown = await connection.owner.get(f"/v1/bd-accounts/{connection.held.id}")
    assert "CANARY" not in shown.text
    again = await connection.api.connection(connection.held)
    assert again["secret"] == {"password": dovecot.password}


async def test_a_wrong_password_is_said_and_tried_no_further(connecting: Connecting, dovecot: Dovecot) -> None:
    connection = await mailbox(connecting, dovecot)
    await connection.api.keep_secret(connection.held, password="wrong at first")
    with pytest.raises(OSError, match="refuses the sign-in"):
        await mail.connect(connection.api, connection.held)
    account = await connection.account()
    assert (account["state"], account["reason"]) == ("connecting", "sign_in_refused")
    await connection.owner.made(f"/v1/bd-accounts/{connection.held.id}/state", {"state": "active"})
    await connection.api.keep_secret(connection.held, password="wrong")
    with pytest.raises(OSError, match="refuses the sign-in"):
        await mail.connect(connection.api, connection.held)
    account = await connection.account()
    assert (account["state"], account["reason"]) == ("limited", "sign_in_refused")


async def test_a_mail_server_that_only_we_can_reach_is_not_connected_to(
    connecting: Connecting, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLUICE_OUTGOING_ALLOW")
    connection = await mailbox(connecting, dovecot)
    with pytest.raises(HostRefusedError, match="not a public address"):
        await mail.connect(connection.api, connection.held)
    account = await connection.account()
    assert (account["state"], account["reason"]) == ("connecting", "host_not_public")
    with smtp_server() as smtp:
        for host in ("127.0.0.1", "localhost"):
            server = MailServer(host, smtp.port, "none", "sales")
            told = await deliver(server, TestDelivering._mail(), "a@b.example", None)
            assert told == {"state": "failed", "reason": "host_not_public"}
    assert smtp.mails == []


async def test_xoauth2_signs_in_to_both_servers_and_a_token_that_is_no_good_is_said(
    connecting: Connecting, dovecot: Dovecot
) -> None:
    dovecot.append(written(1))
    connection = await mailbox(connecting, dovecot)
    await connection.api.keep_secret(connection.held, password=None, access_token=dovecot.access_token)
    await read_all(connection)
    assert [one["text"].strip() for one in await connection.messages()] == ["Text 1"]
    await connection.api.keep_secret(connection.held, access_token="another")
    with pytest.raises(OSError, match="refuses the sign-in"):
        await mail.connect(connection.api, connection.held)
    assert (await connection.account())["reason"] == "sign_in_refused"
    with smtp_server(access_token="good") as smtp:
        for token, state in (("good", "sent"), ("bad", "queued")):
            server = MailServer("127.0.0.1", smtp.port, "none", "sales", None, token, ("127.0.0.1/32",))
            told = await deliver(server, TestDelivering._mail(), "a@b.example", None)
            assert told["state"] == state
    assert len(smtp.mails) == 1


def _signed() -> bytes:
    """A mail that somebody signed (S/MIME), as their program would write it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ada")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"Content-Type: text/plain\r\n\r\nSigned  words \r\n")
    builder = builder.add_signer(certificate, key, hashes.SHA256())
    signed = builder.sign(Encoding.SMIME, [pkcs7.PKCS7Options.DetachedSignature])
    return b"From: ada@acme.example\nMessage-ID: <signed@acme.example>\n" + signed


def _verified(raw: bytes, folder: Path) -> bytes:
    """What OpenSSL finds signed in a mail."""
    (folder / "mail.eml").write_bytes(raw)
    command = ["openssl", "smime", "-verify", "-noverify", "-in", str(folder / "mail.eml")]
    return subprocess.run(command, check=True, capture_output=True).stdout


_ENCRYPTED = b"""From: ada@acme.example
Message-ID: <pgp@acme.example>
Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b

--b
Content-Type: application/pgp-encrypted

Version: 1

--b
Content-Type: application/octet-stream; name="encrypted.asc"

-----BEGIN PGP MESSAGE-----

hQEMA+CANARY  with its blanks
-----END PGP MESSAGE-----
--b--
"""


async def test_what_is_signed_or_encrypted_stays_as_it_came(
    connecting: Connecting, dovecot: Dovecot, stranger: Member, tmp_path: Path
) -> None:
    dovecot.append(_signed(), _ENCRYPTED)
    connection = await mailbox(connecting, dovecot)
    await read_all(connection)
    found = {one["text"].strip(): one for one in await connection.messages()}
    assert set(found) == {"Signed  words", ""}
    with dovecot.client() as imap:
        imap.select_folder("INBOX")
        came = [parts[b"BODY[]"] for parts in imap.fetch(imap.search(), ["BODY.PEEK[]"]).values()]
    originals = []
    for one in found.values():
        answer = await connection.owner.get(f"/v1/messages/{one['id']}/original")
        assert answer.headers["content-type"] == "message/rfc822"
        originals.append(answer.content)
        assert (await stranger.get(f"/v1/messages/{one['id']}/original")).status_code == 404
    assert sorted(originals) == sorted(came)
    if shutil.which("openssl"):
        assert b"Signed  words" in _verified(next(one for one in originals if b"Signed" in one), tmp_path)


class TestDelivering:
    @staticmethod
    def _server(port: int) -> MailServer:
        return MailServer("127.0.0.1", port, "none", "sales", allow=("127.0.0.1/32",))

    @staticmethod
    def _mail() -> EmailMessage:
        job = {"address": "a@b.example", "subject": "Hi", "provider_id": "<x@us.example>", "text": "Hello"}
        return mail.compose({"references": [], "headers": {}, "html": None, **job}, sender="sales@us.example")

    @pytest.mark.parametrize(
        ("answer", "state"),
        [
            (None, "sent"),
            ("550 no such user", "failed smtp_550"),
            ("550 5.1.1 no such user", "failed bounced"),
            ("550 5.1.10 nobody takes mail there", "failed bounced"),
            ("550 5.1.8 Access denied, bad outbound sender", "failed smtp_550"),
            ("451 later", "queued"),
            ("421 closing", "queued"),
        ],
    )
    async def test_what_the_server_says_is_what_is_told(self, answer: str | None, state: str) -> None:
        with smtp_server() as smtp:
            smtp.refuses = answer
            told = await deliver(self._server(smtp.port), self._mail(), "a@b.example", None)
        assert " ".join([told["state"], *([told["reason"]] if "reason" in told else [])]) == state

    async def test_c1_a_server_that_dies_after_the_text_leaves_it_unknown(self) -> None:
        async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hi\r\n")
            while line := await reader.readline():
                if line.startswith(b"DATA"):
                    writer.write(b"354 go\r\n")
                elif line == b".\r\n":
                    break
                elif line.startswith((b"EHLO", b"MAIL", b"RCPT")):
                    writer.write(b"250 ok\r\n")
            writer.close()

        server = await asyncio.start_server(half, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        told = await deliver(self._server(port), self._mail(), "a@b.example", None)
        server.close()
        assert told["state"] == "unknown"

    async def test_a_server_that_is_not_there_is_waited_for(self) -> None:
        told = await deliver(self._server(9), self._mail(), "a@b.example", None)
        assert told["state"] == "queued"
