"""Connectors tell, claim and take in at the same time, and people decide: nobody waits for one who waits for them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

from tests.api.crm.conftest import Crm, Member
from tests.api.crm.test_conversations import account, claim, mail, take_in

#: What may happen to a message that is under way, by name.
Step = Callable[[], Coroutine[Any, Any, Any]]


async def _waiting(watch: psycopg.AsyncConnection[Any], count: int) -> None:
    async with asyncio.timeout(20):
        while True:
            found = await (
                await watch.execute(
                    "select count(*) from pg_stat_activity"
                    " where datname = current_database() and wait_event_type = 'Lock'"
                )
            ).fetchone()
            if found == (count,):
                return
            await asyncio.sleep(0.02)


async def _under_way(owner: Member) -> tuple[Any, Any, dict[str, Any]]:
    """A held account, the message of ours, and the send that its connector does now."""
    held = await account(owner)
    [taken] = await take_in(owner, held, mail(1))
    reply = await owner.made(f"/v1/conversations/{taken['conversation_id']}/messages", {"text": "Yes"})
    [job] = await claim(owner, held)
    return held, reply, job


def _steps(owner: Member, held: Any, reply: Any, job: Any) -> dict[str, Step]:
    taken = mail(9, provider_id=job["provider_id"], direction="out")
    return {
        "tell": lambda: owner.post(f"/v1/sends/{job['send_id']}/result", {"epoch": job["epoch"], "state": "sent"}),
        "take in": lambda: owner.post(
            "/v1/messages/inbound", {"account_id": held["id"], "epoch": held["epoch"], "messages": [taken]}
        ),
        "claim": lambda: owner.post("/v1/sends/claim", {"account_id": held["id"], "epoch": held["epoch"]}),
        "decide": lambda: owner.post(f"/v1/messages/{reply['id']}/retry"),
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [("tell", "take in"), ("take in", "tell"), ("claim", "tell"), ("tell", "claim"), ("decide", "take in"),
     ("claim", "decide")],
)  # fmt: skip
async def test_what_happens_to_one_message_at_once_happens_one_after_the_other(
    crm: Crm, owner: Member, first: str, second: str
) -> None:
    held, reply, job = await _under_way(owner)
    job["epoch"] = held["epoch"]
    if "claim" in (first, second):  # by the connector that comes after the one who has the send
        with psycopg.connect(crm.admin_url) as admin:
            admin.execute("update bd_accounts set lease_until = now() where id = %s", (held["id"],))
        held |= await owner.made(f"/v1/bd-accounts/{held['id']}/lease", {"holder": "two"})
    steps = _steps(owner, held, reply, job)
    async with (
        await psycopg.AsyncConnection.connect(crm.admin_url) as other,
        await psycopg.AsyncConnection.connect(crm.admin_url, autocommit=True) as watch,
    ):
        await other.execute("select from sends where id = %s for update", (job["send_id"],))
        one = asyncio.create_task(steps[first]())
        await _waiting(watch, 1)
        two = asyncio.create_task(steps[second]())
        await _waiting(watch, 2)
        await other.commit()
        answers = [await one, await two]
    assert max(answer.status_code for answer in answers) < 500, [answer.text for answer in answers]


async def test_only_what_was_sent_from_here_can_be_decided_about(owner: Member) -> None:
    held = await account(owner)
    [theirs, elsewhere] = await take_in(owner, held, mail(1), mail(2, direction="out"))
    for taken in (theirs, elsewhere):
        for decision in ("retry", "confirm"):
            answer = await owner.post(f"/v1/messages/{taken['message_id']}/{decision}")
            assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_retry")
