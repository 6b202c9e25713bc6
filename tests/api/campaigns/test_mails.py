"""Mails of campaigns as mail servers see them: signed in the name of their domain, and what real servers send back."""

import re
from base64 import b64encode
from email import message_from_bytes
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ingest.channels.mail import compose, deliver
from ingest.channels.mail_parsing import read_mail
from ingest.channels.mailbox_reader import MailServer
from ingest.channels.signing import Signer, UnusableKeyError
from tests.api.campaigns.conftest import Outreach
from tests.channels.postfix import postfix
from tests.eventually import eventually
from tests.mailbox import smtp_server

_FORGERIES = (
    (b"From: sales", b"From: other"),
    (b"List-Unsubscribe: <https", b"List-Unsubscribe: <http"),
    (b"List-Unsubscribe-Post: List", b"List-Unsubscribe-Post: Last"),
    (b"\r\nSubject:", b"\r\nFrom: boss@us.example\r\nSubject:"),
)


async def test_c3_what_an_account_with_a_key_sends_is_signed_with_the_headers_of_the_way_out(
    outreach: Outreach,
) -> None:
    await outreach.contact("Анна Дёмина", "anna@acme.example")
    await outreach.started({"variants": [{"subject": "Счёт на 400 мест", "text": ".\nПривет, {{contact.name}}"}]})
    await outreach.turns()
    [job] = await outreach.claim()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"address": "sales@us.example", "settings": {"dkim_selector": "spring"}}
    with smtp_server() as smtp:
        server = MailServer("127.0.0.1", smtp.port, "none", "sales", allow=("127.0.0.1/32",))
        mail = compose(job, sender="sales@us.example")
        signer = Signer.of(account, {"dkim_key": pem})
        assert (await deliver(server, mail, job["address"], None, signer=signer))["state"] == "sent"
        [given] = smtp.raw
    public = b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    zone = {b"spring._domainkey.us.example.": b"v=DKIM1; k=rsa; p=" + public}

    def verifies(raw: bytes) -> bool:
        return bool(dkim.verify(raw, dnsfunc=lambda name, **_: zone.get(name)))

    assert verifies(given)
    signed = re.search(r"h=([^;]*)", message_from_bytes(given)["DKIM-Signature"])
    assert signed is not None
    names = {name.strip().lower() for name in signed[1].split(":")}
    assert {"from", "message-id", "list-unsubscribe", "list-unsubscribe-post"} <= names
    for ours, forged in _FORGERIES:
        assert ours in given
        assert not verifies(given.replace(ours, forged, 1)), forged


@pytest.mark.parametrize("key", ["none", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_c3_a_key_that_is_none_is_said_to_be(key: str) -> None:
    with pytest.raises(UnusableKeyError):
        Signer.of({"address": "a@us.example", "settings": {}}, {"dkim_key": key})


@pytest.mark.slow
async def test_c5_what_postfix_sends_back_is_understood(outreach: Outreach, tmp_path: Path) -> None:
    for name in ("Ada", "Bob", "Cyd"):
        await outreach.contact(name)
    campaign = await outreach.started()
    await outreach.turns()
    jobs = await outreach.claim()
    with smtp_server() as inbox:
        inbox.refusals = {
            "ada@acme.example": "550 5.1.1 <ada@acme.example>: no such user here",
            "bob@acme.example": "552 5.2.2 mailbox full",
        }
        with postfix(tmp_path, onward=inbox.port) as port:
            for job in jobs:
                mail = compose(job, sender="sales@us.example")
                server = MailServer("127.0.0.1", port, "none", "sales", allow=("127.0.0.1/32",))
                told = await deliver(server, mail, job["address"], None)
                assert told["state"] == "sent"  # it took them all
                await outreach.tell(job, **told)
            eventually(lambda: len(inbox.raw) == 3, what="two reports and a mail", seconds=60)
    now = outreach.rows("select clock_timestamp() as now")[0]["now"]
    read = [read_mail(raw, ours="sales@us.example", received_at=now) for raw in inbox.raw]
    reports: list[dict[str, Any]] = [one for one in read if one["direction"] == "in"]
    assert [one["kind"] for one in reports] == ["bounce", "bounce"]
    assert {one["bounced"]["address"]: (one["bounced"]["status"], one["bounced"]["is_hard"]) for one in reports} == {
        "ada@acme.example": ("5.1.1", True),
        "bob@acme.example": ("5.2.2", False),
    }
    [account] = outreach.accounts.values()
    body = {"account_id": account["id"], "epoch": account["epoch"], "messages": reports}
    await outreach.owner.made("/v1/messages/inbound", json=body)
    await outreach.hear()
    names = {one["id"]: one["name"] for one in (await outreach.owner.read("/v1/contacts"))["items"]}
    ends = {names[one["contact_id"]]: one["ending"] for one in await outreach.recipients(campaign)}
    assert ends == {"Ada": "bounced", "Bob": "bounced", "Cyd": None}
    assert [row["address"] for row in outreach.rows("select address from suppressions where reason = 'bounced'")] == [
        "ada@acme.example"
    ]
