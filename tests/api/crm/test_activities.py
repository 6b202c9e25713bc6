"""Notes, calls and meetings, and the timeline in which they stand."""

from typing import Any

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem


async def timeline(member: Member, path: str, **params: object) -> list[dict[str, Any]]:
    answer = await member.get(f"/v1/{path}/timeline", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


class TestNotes:
    async def test_text_stays_out_of_events(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal()
        note = await owner.made("/v1/notes", {"body": "CANARY <b>said</b>", "deal_id": deal["id"]})
        assert note["body"] == "CANARY <b>said</b>"
        [event] = crm.events(note["id"])
        assert (event["type"], event["data"]["kind"]) == ("activity.logged", "note")
        assert "CANARY" not in str(event["data"])

    async def test_whoever_is_mentioned_reads_it(self, crm: Crm, owner: Member) -> None:
        rep, other = (crm.member(owner.organization_id, Role.REP) for _ in range(2))
        await owner.made("/v1/notes", {"body": "Please call", "mentions": [str(rep.user_id), str(rep.user_id)]})
        [note] = (await rep.get("/v1/notes", params={"mentioned_id": str(rep.user_id)})).json()["items"]
        assert note["mentions"] == [str(rep.user_id)]
        assert (await rep.get(f"/v1/notes/{note['id']}")).status_code == 200
        assert (await other.get("/v1/notes")).json()["items"] == []
        assert_problem(await other.get(f"/v1/notes/{note['id']}"), 404)

    async def test_strangers_are_not_mentioned_nor_their_records(self, owner: Member, stranger: Member) -> None:
        answer = await owner.post("/v1/notes", {"body": "Hello", "mentions": [str(stranger.user_id)]})
        assert assert_problem(answer, 422, "unknown_reference")["errors"][0]["pointer"] == "/mentions"
        deal = await stranger.deal()
        assert_problem(await owner.post("/v1/notes", {"body": "Hello", "deal_id": deal["id"]}), 422)

    async def test_changes_by_version_and_goes(self, crm: Crm, owner: Member) -> None:
        note = await owner.made("/v1/notes", {"body": "One"})
        path = f"/v1/notes/{note['id']}"
        assert (await owner.patch(path, {"body": "Two"}, version=1)).json()["body"] == "Two"
        assert_problem(await owner.patch(path, {"body": "Three"}, version=1), 412)
        assert (await owner.patch(path, {"body": ""}, version=2)).status_code == 422
        assert (await owner.delete(path, version=2)).status_code == 204
        assert_problem(await owner.get(path), 404)
        kinds = [event["type"] for event in crm.events(note["id"])]
        assert kinds == ["activity.logged", "activity.updated", "activity.deleted"]


class TestActivities:
    async def test_a_call_took_place_when_it_says(self, crm: Crm, owner: Member) -> None:
        body = {"kind": "call", "duration_seconds": 60, "direction": "out", "took_place_at": "2026-05-01T09:00:00Z"}
        call = await owner.made("/v1/activities", body)
        assert {name: call[name] for name in body} == body
        [event] = crm.events(call["id"])
        assert event["occurred_at"].isoformat() == "2026-05-01T09:00:00+00:00"
        assert [one["id"] for one in (await owner.get("/v1/activities", params={"kind": "call"})).json()["items"]]
        assert (await owner.get("/v1/activities", params={"kind": "meeting"})).json()["items"] == []
        assert (await owner.get("/v1/notes")).json()["items"] == []
        path = f"/v1/activities/{call['id']}"
        assert (await owner.patch(path, {"duration_seconds": 90}, version=1)).json()["duration_seconds"] == 90
        assert (await owner.patch(path, {"took_place_at": None}, version=2)).status_code == 422

    async def test_what_is_still_to_come_is_a_task(self, owner: Member) -> None:
        body = {"kind": "meeting", "took_place_at": "2100-01-01T00:00:00Z"}
        assert_problem(await owner.post("/v1/activities", body), 422, "not_yet")


class TestTimeline:
    async def test_holds_everything_about_a_deal_newest_first(self, owner: Member) -> None:
        deal = await owner.deal()
        await owner.made(
            "/v1/activities", {"kind": "call", "deal_id": deal["id"], "took_place_at": "2026-01-01T09:00:00Z"}
        )
        await owner.made("/v1/tasks", {"title": "Send the offer", "deal_id": deal["id"]})
        await owner.made("/v1/notes", {"body": "Liked it", "deal_id": deal["id"]})
        items = await timeline(owner, f"deals/{deal['id']}")
        assert [item["kind"] for item in items] == ["note", "task", "change", "call"]
        assert (items[0]["data"]["body"], items[1]["data"]["title"]) == ("Liked it", "Send the offer")
        assert [one["kind"] for one in await timeline(owner, f"deals/{deal['id']}", kind=["note", "call"])] == [
            "note",
            "call",
        ]

    async def test_a_companys_has_what_is_about_its_contacts_and_deals_once(self, owner: Member) -> None:
        company = await owner.made("/v1/companies", {"name": "Acme"})
        contact = await owner.made("/v1/contacts", {"name": "Ada", "company_id": company["id"]})
        deal = await owner.deal(company_id=company["id"], contact_id=contact["id"])
        await owner.made("/v1/notes", {"body": "All", "deal_id": deal["id"], "contact_id": contact["id"]})
        for path in (f"companies/{company['id']}", f"contacts/{contact['id']}"):
            assert [item["data"]["body"] for item in await timeline(owner, path, kind="note")] == ["All"]

    async def test_pages_hold_every_item_once(self, owner: Member) -> None:
        deal = await owner.deal()
        for number in range(7):
            await owner.made("/v1/notes", {"body": str(number), "deal_id": deal["id"]})
        path, seen, cursor = f"/v1/deals/{deal['id']}/timeline", [], None
        while True:
            page = (await owner.get(path, params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
            seen += [item["data"].get("body") for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ["6", "5", "4", "3", "2", "1", "0", None]

    async def test_shows_nothing_through_records_that_one_does_not_see(self, crm: Crm, owner: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        company = await rep.made("/v1/companies", {"name": "Acme"})
        deal = await owner.deal(company_id=company["id"])
        await owner.made("/v1/notes", {"body": "Secret", "deal_id": deal["id"]})
        assert await timeline(rep, f"companies/{company['id']}", kind="note") == []
        assert_problem(await rep.get(f"/v1/deals/{deal['id']}/timeline"), 404)

    async def test_an_unknown_kind_is_named(self, owner: Member) -> None:
        deal = await owner.deal()
        answer = await owner.get(f"/v1/deals/{deal['id']}/timeline", params={"kind": "smoke"})
        assert "smoke" in assert_problem(answer, 422, "unknown_kind")["detail"]
