"""Who looks at a conversation, sleep that ends by itself, and messages in timelines."""

import psycopg

from api.conversations import worker
from api.kernel.database import Database as Pool
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem
from tests.api.crm.test_conversations import account, mail, take_in
from tests.conftest import Database


async def conversation(owner: Member, number: int = 1) -> str:
    held = await account(owner, address=f"sales{number}@us.example")
    [taken] = await take_in(owner, held, mail(number))
    found: str = taken["conversation_id"]
    return found


async def test_colleagues_see_who_else_looks_and_types_for_as_long_as_they_say_so(crm: Crm, owner: Member) -> None:
    kim = crm.member(owner.organization_id, Role.ADMIN)
    path = f"/v1/conversations/{await conversation(owner)}/presence"
    assert (await owner.http.put(path, json={})).json() == {"others": []}
    assert (await kim.http.put(path, json={"is_typing": True})).json() == {
        "others": [{"user_id": str(owner.user_id), "is_typing": False}]
    }
    assert (await owner.http.put(path, json={})).json()["others"] == [{"user_id": str(kim.user_id), "is_typing": True}]
    assert (await kim.http.delete(path)).status_code == 204
    assert (await owner.http.put(path, json={})).json() == {"others": []}
    await kim.http.put(path, json={})
    with psycopg.connect(crm.admin_url) as clock:
        clock.execute("update conversation_presences set until = now() - interval '1 second'")
    assert (await owner.http.put(path, json={})).json() == {"others": []}
    with psycopg.connect(crm.admin_url) as clock:
        clock.execute("update conversation_presences set until = now() - interval '1 hour'")
    await owner.http.put(path, json={})
    with psycopg.connect(crm.admin_url) as admin:
        left = admin.execute(
            "select user_id from conversation_presences where organization_id = %s", (owner.organization_id,)
        ).fetchall()
    assert left == [(owner.user_id,)]
    outsider = crm.member(owner.organization_id, Role.REP)
    assert_problem(await outsider.http.put(path, json={}), 404)


async def test_what_sleeps_wakes_up_by_itself_when_its_time_has_come(owner: Member, crm_database: Database) -> None:
    first, second = await conversation(owner, 1), await conversation(owner, 2)
    for one in (first, second):
        answer = await owner.http.patch(f"/v1/conversations/{one}", json={"snoozed_until": "2099-01-01T00:00:00Z"})
        assert answer.json()["status"] == "snoozed"
    with psycopg.connect(crm_database.admin_url) as clock:
        clock.execute("update conversations set snoozed_until = now() - interval '1 second' where id = %s", (first,))
    pool = Pool(crm_database.worker_url)
    assert await worker.wake(pool) == 1
    assert await worker.wake(pool) == 0
    await pool.close()
    woken = (await owner.get(f"/v1/conversations/{first}")).json()
    assert (woken["status"], woken["snoozed_until"]) == ("open", None)
    assert (await owner.get(f"/v1/conversations/{second}")).json()["status"] == "snoozed"


async def test_messages_stand_in_the_timelines_of_contact_and_deal_for_those_who_see_the_conversation(
    crm: Crm, owner: Member
) -> None:
    contact = await owner.made("/v1/contacts", {"name": "Ada", "email": "ada@acme.example"})
    deal = await owner.deal(contact_id=contact["id"])
    one = await conversation(owner)
    await owner.made(f"/v1/conversations/{one}/notes", {"text": "Call her"})
    for path in (f"/v1/contacts/{contact['id']}", f"/v1/deals/{deal['id']}"):
        items = (await owner.get(f"{path}/timeline", params={"kind": "message"})).json()["items"]
        assert [(item["type"], item["data"]["body"]) for item in items] == [
            ("message.noted", "Call her"),
            ("message.received", "Message 1"),
        ]
    rep = crm.member(owner.organization_id, Role.REP)
    await owner.patch(f"/v1/deals/{deal['id']}", {"owner_id": str(rep.user_id)}, version=deal["version"])
    items = (await rep.get(f"/v1/deals/{deal['id']}/timeline", params={"kind": "message"})).json()["items"]
    assert items == []
    await owner.http.patch(f"/v1/conversations/{one}", json={"assignee_id": str(rep.user_id)})
    items = (await rep.get(f"/v1/deals/{deal['id']}/timeline", params={"kind": "message"})).json()["items"]
    assert len(items) == 2
