"""Mail of strangers: never an error, its words found, its thread known."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.channels.mail_parsing import read_mail

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def read(raw: str | bytes) -> dict[str, object]:
    content = raw if isinstance(raw, bytes) else raw.replace("\n", "\r\n").encode()
    return read_mail(content, ours="sales@us.example", received_at=NOW)


def test_a_plain_mail_is_one_of_theirs() -> None:
    found = read(
        "From: =?utf-8?q?Ada_L=C3=B6we?= <ada@acme.example>\nTo: sales@us.example\nSubject: =?utf-8?b?w5xiZXI=?= us\n"
        "Date: Mon, 4 May 2026 11:00:00 +0200\nMessage-ID: <a1@acme.example>\n\nHello there\n"
    )
    assert (found["sender"], found["subject"], found["text"]) == (
        "Ada Löwe <ada@acme.example>",
        "Über us",
        "Hello there",
    )
    assert (found["provider_id"], found["thread_key"], found["direction"]) == ("<a1@acme.example>",) * 2 + ("in",)
    assert (found["occurred_at"], found["address"]) == ("2026-05-04T09:00:00+00:00", "ada@acme.example")


def test_an_answer_belongs_to_the_first_mail_of_its_thread() -> None:
    found = read(
        "From: sales@us.example\nTo: ada@acme.example\nMessage-ID: <c@us.example>\nIn-Reply-To: <b@acme.example>\n"
        "References: <a@acme.example>\n <b@acme.example>\n\nYes\n"
    )
    assert (found["thread_key"], found["references"]) == ("<a@acme.example>", ["<a@acme.example>", "<b@acme.example>"])
    assert (found["direction"], found["address"]) == ("out", "ada@acme.example")


def test_one_without_a_name_is_known_by_its_bytes() -> None:
    first, again, other = (read(f"From: a@b.example\n\n{text}\n") for text in ("x", "x", "y"))
    assert first["provider_id"] == again["provider_id"] != other["provider_id"]


@pytest.mark.parametrize("charset", ["utf-8", "cp1251"])
def test_a_name_that_nobody_encoded_is_read_and_marks_that_turn_words_round_are_not(charset: str) -> None:
    if charset == "utf-8":
        raw = "From: \u202eАнна <anna@acme.example>\r\nSubject: Счёт\r\n\r\nx".encode()
        assert read(raw)["sender"] == "Анна <anna@acme.example>"
    else:  # what it is in is said nowhere, and its letters are lost; the address is not
        raw = "From: Анна <anna@acme.example>\r\n\r\nx".encode(charset)
    assert read(raw)["address"] == "anna@acme.example"


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Auto-Submitted: auto-replied", "auto_reply"),
        ("Auto-Submitted: no", "message"),
        ("X-Autoreply: yes", "auto_reply"),
        ("Precedence: list", "message"),
    ],
)
def test_a_machine_that_answers_is_told_from_a_person(header: str, kind: str) -> None:
    assert read(f"From: a@b.example\n{header}\n\nI am away\n")["kind"] == kind


BOUNCE = """From: MAILER-DAEMON@mx.us.example
To: sales@us.example
Subject: Undelivered Mail Returned to Sender
Message-ID: <dsn@mx.us.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry to have to inform you
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.us.example

Final-Recipient: rfc822; gone@acme.example
Action: ACTION
Status: 5.1.1
--b
Content-Type: {kind}

Message-ID: <sent@us.example>
Subject: Hi

--b--
"""


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
def test_what_came_back_is_named(kind: str) -> None:
    found = read(BOUNCE.replace("{kind}", kind).replace("ACTION", "failed"))
    assert found["kind"] == "bounce"
    assert found["bounced"] == {
        "provider_id": "<sent@us.example>",
        "address": "gone@acme.example",
        "status": "5.1.1",
        "is_hard": True,
    }
    assert found["thread_key"] == "<sent@us.example>"


@pytest.mark.parametrize("status", ["5.7.1", "5.1.8", "5.2.2", "4.4.1"])
def test_only_a_mailbox_that_does_not_exist_came_back_for_good(status: str) -> None:
    raw = BOUNCE.replace("{kind}", "message/rfc822").replace("ACTION", "failed").replace("5.1.1", status)
    came_back = {"provider_id": "<sent@us.example>", "address": "gone@acme.example"}
    assert read(raw)["bounced"] == {**came_back, "status": status, "is_hard": False}


def test_a_delay_is_no_bounce() -> None:
    assert read(BOUNCE.replace("{kind}", "message/rfc822").replace("ACTION", "delayed"))["kind"] != "bounce"


HOSTILE = [
    b"",
    b"\x00\xff\xfe",
    b"From: \xff\xfe <x@\xff>\r\nSubject: =?unknown-8bit?q?=FF?=\r\n\r\n\x00text\x00",
    b"Subject: =?utf-8?b?!!!?=\r\nDate: Mon, 99 Foo 99999 99:99:99 +9999\r\nFrom: a@b.example\r\n\r\nx",
    b"Content-Type: multipart/mixed\r\n\r\nno boundary at all",
    b'Content-Type: text/plain; charset="no-such"\r\nContent-Transfer-Encoding: base64\r\n\r\n////=\r\n',
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
    + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" * 300,
    b"Content-Disposition: attachment; filename*=utf-99''%ff%fe\r\n\r\nx",
    b"From: " + b"a" * 100_000 + b"\r\n\r\n" + b"x" * 300_000,
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b--",
    b"From: ada@b.example\r\nTo: " + b"(" * 5_000 + b" x@y.example\r\n\r\nx",
    b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (one, one) for one in range(3_000)),
    b"From: a@b.example\r\nTo: " + b", ".join(b"p%d@acme.example" % one for one in range(10_000)) + b"\r\n\r\nx",
]


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_f1_hostile_mail_is_taken_in_as_it_is(raw: bytes) -> None:
    found = read(raw)
    assert found["provider_id"]
    assert "\x00" not in "".join(str(found.get(name)) for name in ("text", "subject", "sender"))


def test_f1_cpythons_own_samples_are_read_and_their_text_is_found(shared_data: Path) -> None:
    paths = sorted((shared_data / "email_samples_cpython").glob("msg_*.txt"))
    assert len(paths) >= 40
    silent = []
    for path in paths:
        found = read(path.read_bytes())
        if not str(found["text"]).strip() and not found["html"]:
            silent.append(path.stem)
    # these have no words at all: their parts are empty
    assert silent == ["msg_06", "msg_08", "msg_09", "msg_12", "msg_12a", "msg_18", "msg_24"]
