"""What all connectors have in common: one bad message stops no other, and a provider that does not answer is seen."""

import asyncio
from datetime import UTC, datetime

import pytest

from ingest.channels import runner
from ingest.channels.api import Api, Held
from ingest.channels.mail_parsing import read_mail
from tests.api.crm.test_conversations import mail
from tests.channels.conftest import Connecting, Connection, soon


def _large() -> bytes:
    """A mail whose words alone are more than the API takes at once."""
    words = "漢" * 400_000
    parts = "\r\n".join(
        f"--b\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{words}"
        for kind in ("plain", "html")
    )
    head = (
        "From: ada@acme.example\r\nMessage-ID: <large@acme.example>\r\nContent-Type: multipart/alternative; boundary=b"
    )
    return f"{head}\r\n\r\n{parts}\r\n--b--".encode()


async def test_f1_a_message_that_cannot_be_taken_in_stops_no_other_and_is_told(connecting: Connecting) -> None:
    connection: Connection = await connecting("email", "sales@us.example", secret={"password": "x"})
    now = datetime.now(UTC)
    given = [
        mail(1),
        mail(2, address="a" * 400),
        read_mail(_large(), ours="sales@us.example", received_at=now),
        mail(3, provider_id="<" + "n" * 2_000 + ">"),
        mail(4),
    ]
    taken = await connection.api.take_in(connection.held, given)
    assert [one["provider_id"] for one in taken] == [given[at]["provider_id"] for at in (0, 1, 2, 4)]
    found = {one["id"]: one for one in await connection.messages()}
    said = [found[one["message_id"]]["text"][:10] for one in taken]
    assert said == ["Message 1", "This messa", "漢" * 10, "Message 4"]
    day = now.date().isoformat()
    assert await connection.api.compare_day(connection.held, day, [one["provider_id"] for one in given]) == []
    [kept] = (await connection.owner.get(f"/v1/bd-accounts/{connection.held.id}/days")).json()["items"]
    assert (kept["provider"], kept["stored"], kept["missing"]) == (5, 4, 0)
    assert kept["failed"] == {"validation_failed": 1}
    alarms = (await connection.owner.get("/v1/freshness")).json()["alarms"]
    assert [alarm["name"] for alarm in alarms] == ["messages_are_missing"]


async def test_an_account_whose_provider_does_not_answer_says_so(
    connecting: Connecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(api: Api, held: Held) -> None:
        await api.report(held, "active")
        raise OSError("no answer")

    monkeypatch.setattr(runner, "_TOLD_AFTER", 1)
    monkeypatch.setattr(runner, "CHANNELS", {"linkedin": fails})
    connection: Connection = await connecting("linkedin", "ada", secret={"access_token": "x"})
    await connection.api.release(connection.held)
    fleet = runner.Fleet(connection.api, ("linkedin",))
    await fleet.look()

    async def told() -> bool:
        account = await connection.account()
        return bool((account["state"], account["reason"]) == ("limited", "unreachable"))

    await soon(told)
    alarms = (await connection.owner.get("/v1/freshness")).json()["alarms"]
    assert [alarm["name"] for alarm in alarms] == ["accounts_do_not_work"]
    for task in fleet._running.values():
        task.cancel()
    await asyncio.gather(*fleet._running.values(), return_exceptions=True)
