"""Rules over HTTP: what can be saved, and what people are told of what cannot."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.kernel.conditions import compiled_condition, context_of
from api.rules.document import Window
from api.rules.matching import is_within
from contracts.access import Role
from tests.api.rules.conftest import Shop

TASK = {"do": "task.create", "with": {"title": "Call"}}
ON_MOVE = {"kind": "event", "event": "deal.stage.changed"}


def _document(**changes: Any) -> dict[str, Any]:
    return {"trigger": ON_MOVE, "actions": [TASK], **changes}


class TestSave:
    async def test_a_rule_begins_off_and_is_versioned(self, shop: Shop) -> None:
        made = await shop.owner.made("/v1/rules", json={"name": "Call", "document": _document()})
        assert (made["mode"], made["version"]) == ("off", 1)
        answer = await shop.owner.patch(f"/v1/rules/{made['id']}", version=1, json={"mode": "live"})
        assert (answer.json()["mode"], answer.json()["version"]) == ("live", 2)
        stale = await shop.owner.patch(f"/v1/rules/{made['id']}", version=1, json={"mode": "off"})
        assert stale.status_code == 412
        assert (await shop.owner.delete(f"/v1/rules/{made['id']}")).status_code == 204
        assert (await shop.owner.get(f"/v1/rules/{made['id']}")).status_code == 404

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"trigger": {"kind": "event", "event": "deal.sold"}}, "there is no event 'deal.sold'"),
            ({"when": 'deal.times["deal.sold"] > 1'}, "there is no 'deal.sold'"),
            ({"when": "deal.amuont > 1.0"}, "deal has no 'amuont'; it has age_days, amount"),
            ({"when": "deal.amount >"}, "Syntax error"),
            ({"when": "deal.amount + 1.0"}, "must answer true or false"),
            ({"when": 'deal.amount > "ten"'}, "different types"),
            ({"when": "lead.amount > 1.0"}, "there is no 'lead'"),
            ({"when": "contact.owner_id == null"}, "it knows no contact here"),
            ({"when": "event.outcome == 'won'"}, "event has no 'outcome'"),
            ({"actions": [{"do": "deal.fly"}]}, "there is no action 'deal.fly'"),
            ({"actions": [{"do": "deal.move"}]}, "stage_id: Field required"),
            ({"actions": [{"do": "deal.assign", "with": {}}]}, "either user_id or user_ids"),
            ({"trigger": {"kind": "event", "event": "contact.created"}, "actions": [
                {"do": "deal.move", "with": {"stage_id": "019e7c10-0000-7000-8000-000000000006"}}]},
             "works on a deal"),
            ({"when": "true\u0000"}, "NUL"),
            ({"when": "[1].all(a, [1].all(b, [1].all(c, true)))"}, "two lists"),
            ({"when": "['a'].map(a, a + a) . map (b, b + b).existsOne//\n(c, true)"}, "two lists"),
            ({"when": "'' + r'\\' + \"'\" != '' && [1].all(a, [1].all(b, [1].all(c, true)))"}, "two lists"),
            ({"actions": []}, "at least 1"),
        ],
    )  # fmt: skip
    async def test_what_cannot_work_is_refused_in_words(self, shop: Shop, changes: dict[str, Any], words: str) -> None:
        answer = await shop.owner.post("/v1/rules/lint", json=_document(**changes))
        assert answer.status_code == 422, answer.text
        assert words in answer.text

    async def test_every_template_is_sound(self, shop: Shop) -> None:
        templates = (await shop.owner.get("/v1/rules/templates")).json()
        assert len(templates) >= 12
        for template in templates:
            answer = await shop.owner.post("/v1/rules/lint", json=template["document"])
            assert answer.status_code == 200, (template["key"], answer.text)

    async def test_a_templates_example_is_not_turned_on(self, shop: Shop) -> None:
        templates = {one["key"]: one for one in (await shop.owner.get("/v1/rules/templates")).json()}
        document = templates["lost_after_silence"]["document"]
        made = await shop.owner.made("/v1/rules", json={"name": "Silence", "document": document})
        refused = await shop.owner.patch(f"/v1/rules/{made['id']}", json={"mode": "live"})
        assert (refused.status_code, refused.json()["code"]) == (422, "example_left")
        document["actions"][0]["with"]["stage_id"] = shop.stages["Lost"]
        answer = await shop.owner.patch(f"/v1/rules/{made['id']}", json={"mode": "live", "document": document})
        assert answer.json()["mode"] == "live"

    async def test_only_administrators_write_and_read_the_log(self, shop: Shop) -> None:
        rep = await shop.owner.add_user(role=Role.REP)
        made = await shop.owner.made("/v1/rules", json={"name": "Call", "document": _document()})
        assert (await rep.post("/v1/rules", json={"name": "x", "document": _document()})).status_code == 403
        assert (await rep.get(f"/v1/rules/{made['id']}/runs")).status_code == 403
        assert (await rep.get("/v1/rules")).status_code == 200

    async def test_the_vocabulary_names_events_actions_and_fields(self, shop: Shop) -> None:
        found = await shop.owner.read("/v1/rules/vocabulary")
        assert "deal.created" in found["events"]
        assert {"deal.move", "deal.assign", "task.create", "notify", "webhook"} <= {a["name"] for a in found["actions"]}


async def test_a_condition_names_custom_fields_as_people_do(shop: Shop) -> None:
    choices = [{"label": "Gold"}, {"label": "Tin"}]
    fields = [
        await shop.owner.made("/v1/custom-fields", json={"record_kind": "deal", **body})
        for body in (
            {"name": "Seats", "type": "number"},
            {"name": "Tier", "type": "choice", "choices": choices},
        )
    ]
    seats, tier = (one["id"] for one in fields)
    ids = {one["label"]: one["id"] for one in fields[1]["choices"]}
    when = 'deal.custom["Seats"] > 100.0 && deal.custom["Tier"] == "Gold"'
    rule = await shop.rule("deal.custom.changed", {"do": "task.create", "with": {"title": "Call"}}, when=when)
    wanted = await shop.deal(custom={seats: 400, tier: ids["Gold"]})
    await shop.deal(custom={seats: 400, tier: ids["Tin"]})
    await shop.deal(custom={seats: 20, tier: ids["Gold"]})
    await shop.deal(custom={seats: 400})
    await shop.settle()
    assert [run["subject_id"] for run in await shop.runs(rule)] == [wanted["id"]]
    await shop.owner.patch(f"/v1/deals/{wanted['id']}", json={"custom": {tier: None}})
    await shop.settle()
    assert len(await shop.runs(rule)) == 1
    for refused, words in (
        ('deal.custom["Seatz"] > 100.0', "no custom field 'Seatz' of deals; there are Seats, Tier"),
        ("deal.amount > 1.0 || deal.custom.Teir == 'Gold'", "no custom field 'Teir'"),
        ('deal.custom["Tier"] > 1.0', "different types"),
    ):
        answers = [
            await shop.owner.post("/v1/rules/lint", json=_document(when=refused)),
            await shop.owner.post("/v1/rules", json={"name": "x", "document": _document(when=refused)}),
            await shop.owner.patch(f"/v1/rules/{rule['id']}", json={"document": _document(when=refused)}),
        ]
        assert [answer.status_code for answer in answers] == [422, 422, 422], refused
        assert words in answers[0].text, answers[0].text
    for change in ({"name": "Places"}, {"is_retired": True}, {"is_personal": True}):
        answer = await shop.owner.patch(f"/v1/custom-fields/{seats}", json=change)
        assert (answer.status_code, answer.json()["code"]) == (409, "custom_field_in_use"), change
    assert (await shop.owner.patch(f"/v1/custom-fields/{seats}", json={"is_required": False})).status_code == 200
    await shop.owner.patch(f"/v1/rules/{rule['id']}", json={"mode": "off"})
    assert (await shop.owner.patch(f"/v1/custom-fields/{seats}", json={"name": "Places"})).status_code == 200
    await shop.owner.patch(f"/v1/custom-fields/{seats}", json={"name": "Seats"})
    sound = """deal.stage != 'deal.custom["x"]' && (deal.custom.Seats > 1.0 || deal.custom['Tier'] == null)"""
    assert (await shop.owner.post("/v1/rules/lint", json=_document(when=sound))).status_code == 200


async def test_a_condition_looks_at_how_often_something_happened(shop: Shop) -> None:
    call = {"do": "task.create", "with": {"title": "Call"}}
    when = 'deal.times["deal.amount.changed"] >= 2 && deal.times["deal.reopened"] == 0'
    rule = await shop.rule("deal.amount.changed", call, when=when)
    deal = await shop.deal(amount_minor=10_000)
    for cents in (200, 300):
        await shop.owner.patch(f"/v1/deals/{deal['id']}", json={"amount_minor": cents})
    await shop.settle()
    [run] = await shop.runs(rule)
    assert run["facts"] == {"deal.times": {"deal.amount.changed": 2, "deal.reopened": 0}}
    assert run["subject_title"] == deal["title"]


@pytest.mark.parametrize(
    ("local", "weekdays", "hours", "is_open"),
    [
        ("2026-03-27 09:00", [5], ("09:00", "18:00"), True),  # a Friday
        ("2026-03-27 08:59", [5], ("09:00", "18:00"), False),
        ("2026-03-27 18:00", [5], ("09:00", "18:00"), False),
        ("2026-03-28 12:00", [5], ("09:00", "18:00"), False),
        ("2026-03-27 23:00", [5], ("22:00", "06:00"), True),
        ("2026-03-28 05:59", [5], ("22:00", "06:00"), True),  # still Friday's night
        ("2026-03-27 05:59", [5], ("22:00", "06:00"), False),  # Thursday's
        ("2026-03-29 03:30", [7], ("03:00", "04:00"), True),  # the hour before was skipped
        ("2026-10-25 02:30", [7], ("02:00", "03:00"), True),  # came twice
        ("2026-03-28 00:00", [6], ("00:00", "00:00"), True),  # all day
    ],
)
def test_a_rule_acts_within_its_window_in_the_organizations_time(
    local: str, weekdays: list[int], hours: tuple[str, str], is_open: bool
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    window = Window(weekdays=weekdays, begins=hours[0], ends=hours[1])
    at = datetime.fromisoformat(local).replace(tzinfo=zone)
    assert is_within(window, at.astimezone(UTC), zone) is is_open
    assert is_within(None, at, zone)


def test_a_rule_that_goes_through_three_lists_and_was_saved_before_that_was_refused_still_acts() -> None:
    condition = compiled_condition("[1].all(a, [1].all(b, [1].all(c, deal.amount > 1.0)))")
    assert condition is not None
    amounts = [context_of([condition], {"deal": {"amount": amount}}, datetime.now(UTC)) for amount in (2.0, 0.5)]
    assert [condition.holds(one) for one in amounts] == [True, False]
