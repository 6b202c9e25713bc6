"""An import and HTTP go through the same rules: what people set up by hand, a file extends and does not contradict."""

import csv
import io
from typing import Any

from contracts.access import Role
from tests.imports.conftest import Importer


async def failed(importer: Importer, done: dict[str, Any]) -> list[tuple[str, str]]:
    """Field and problem of each failed row."""
    rows = csv.DictReader(io.StringIO(await importer.errors(done["id"])))
    return [(row["sluice_field"], row["sluice_problem"]) for row in rows]


async def test_an_address_is_one_however_it_is_spelled(importer: Importer) -> None:
    made = await importer.account.made(
        "/v1/users", json={"email": "Kim@X.example", "name": "Kim", "role": "rep", "password": None}
    )
    assert made["email"] == "kim@x.example"
    done = await importer.run({"users": "email,name\nKIM@x.example,Kim\nLee@X.example,Lee\n"})
    assert (done["counts"]["unchanged"], done["counts"]["created"]) == (1, 1)
    answer = await importer.account.post("/v1/users", json={"email": "LEE@x.example", "name": "L", "role": "rep"})
    assert answer.json()["code"] == "email_taken"


async def test_a_file_changes_roles_but_no_owners(importer: Importer) -> None:
    rep = await importer.account.add_user(role=Role.REP)
    me = await importer.account.read("/v1/me")
    done = await importer.run({"users": f"email,role\n{rep.email},manager\n{me['email']},rep\n"})
    assert (done["counts"]["updated"], done["counts"]["unchanged"]) == (1, 1)
    assert done["warnings"] == ["An owner's role is not changed by an import."]
    changed = await importer.account.read(f"/v1/users/{rep.user_id}")
    # made, changed: that they signed in meanwhile is none
    assert (changed["role"], changed["record_scope"], changed["version"]) == ("manager", "subtree", 2)


async def test_a_membership_that_people_made_stays_and_a_file_goes_on_after_it(importer: Importer) -> None:
    rep = await importer.account.add_user()
    north = await importer.account.made("/v1/teams", json={"name": "North"})
    since = {"user_id": str(rep.user_id), "occurred_at": "2025-03-01T00:00:00Z"}
    await importer.account.made(f"/v1/teams/{north['id']}/members", json=since)
    done = await importer.run({"users": f"email,team,since\n{rep.email},North/South,2024-01-01\n"})
    assert done["counts"]["updated"] == 1
    times = importer.rows(
        "select t.name, m.started_at::date::text as since, m.ended_at::date::text as until from team_members m"
        " join teams t on t.id = m.team_id order by m.started_at, m.ended_at"
    )
    assert [tuple(row.values()) for row in times] == [
        ("North", "2025-03-01", "2025-03-01"),
        ("South", "2025-03-01", None),
    ]
    told = importer.rows(
        "select type, aggregate_version from event_log where aggregate_id = %s order by aggregate_version", north["id"]
    )
    assert [row["type"] for row in told] == ["team.created", "team.member.added", "team.member.removed"]
    assert (await importer.account.read(f"/v1/teams/{north['id']}"))["version"] == 3


async def test_a_team_has_a_name_as_long_over_http_as_in_a_file(importer: Importer) -> None:
    longest = "N" * 120
    done = await importer.run({"users": f"email,team\na@x.example,{longest}\nb@x.example,{longest}N\n"})
    assert await failed(importer, done) == [("team", "This is no name for a team.")]
    [team] = (await importer.account.read("/v1/teams"))["items"]
    assert team["name"] == longest
    assert (await importer.account.post("/v1/teams", json={"name": longest + "N"})).status_code == 422


async def test_stages_keep_kinds_names_and_numbers(importer: Importer) -> None:
    [pipeline] = (await importer.account.read("/v1/pipelines"))["items"]
    first, second = pipeline["stages"][:2]
    path = f"/v1/pipelines/{pipeline['id']}/stages"
    renamed = await importer.account.patch(f"{path}/{first['id']}", version=1, json={"name": "Fresh"})
    assert renamed.status_code == 200
    assert (await importer.account.delete(f"{path}/{second['id']}", version=1)).status_code == 204
    rows = ["Fresh,open,,3", "Fresh Too,open,1,", f"{second['name']},open,,", "Won,lost,,", "Far,open,100001,"]
    lines = "".join(f"{pipeline['name']},{row}\n" for row in rows)
    done = await importer.run({"pipelines": f"pipeline,stage,kind,position,target_days\n{lines}"})
    assert await failed(importer, done) == [
        ("kind", "The stage exists as won; a stage's kind never changes."),
        ("position", "position may be at most 100000."),
    ]
    after = (await importer.account.read(f"/v1/pipelines/{pipeline['id']}"))["stages"]
    assert [stage["name"] for stage in after if stage["kind"] == "open"] == [
        "Fresh", "Fresh Too", "Proposal", "Negotiation",
    ]  # fmt: skip
    # what people put away, a file that still names it does not bring back
    assert (done["counts"]["unchanged"], done["counts"]["created"], done["counts"]["updated"]) == (1, 1, 1)
    assert any("retired" in text for text in done["warnings"])
    assert next(stage for stage in after if stage["name"] == "Fresh")["target_days"] == 3
    assert len({stage["position"] for stage in after}) == len(after)
    for stage in after:
        [newest] = importer.rows(
            "select max(aggregate_version) as version from event_log where aggregate_id = %s", stage["id"]
        )
        assert newest["version"] == stage["version"]


async def test_a_file_may_speak_of_a_known_pipeline_before_a_new_one(importer: Importer) -> None:
    [pipeline] = (await importer.account.read("/v1/pipelines"))["items"]
    lines = f"{pipeline['name']},Trial,open\nRenewals,Due,open\nRenewals,Kept,won\n"
    done = await importer.run({"pipelines": f"pipeline,stage,kind\n{lines}"})
    assert (done["state"], done["counts"]["created"]) == ("completed", 3)
    made = (await importer.account.read("/v1/pipelines"))["items"]
    assert [[stage["name"] for stage in one["stages"]] for one in made if one["name"] == "Renewals"] == [
        ["Due", "Kept"]
    ]


async def test_a_renamed_pipeline_is_one_under_both_names(importer: Importer) -> None:
    [pipeline] = (await importer.account.read("/v1/pipelines"))["items"]
    renamed = await importer.account.patch(f"/v1/pipelines/{pipeline['id']}", version=1, json={"name": "New business"})
    assert renamed.status_code == 200
    lines = "".join(f"{number},{name},Fresh\n" for number, name in enumerate((pipeline["name"], "New business")))
    done = await importer.run({"deals": f"external_id,pipeline,stage\n{lines}"}, create_missing=True)
    assert done["state"] == "completed", done["error"]
    assert (done["counts"]["created"], done["counts"]["failed"]) == (2, 0)
    assert len((await importer.account.read("/v1/pipelines"))["items"]) == 1
