"""From an API write to a manager's funnel, on the running product."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from runtime.demo import DEMO_USERS
from tests.e2e.conftest import SluiceStack
from tests.eventually import eventually


def _this_year() -> dict[str, str]:
    now = datetime.now(UTC)
    return {"from": f"{now.year - 1}-01-01", "to": f"{now.year + 1}-01-01"}


def _pipeline(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/pipelines").raise_for_status().json()["items"][0]
    return found


def _funnel(client: httpx.Client, pipeline_id: str, **parameters: str) -> dict[str, Any]:
    answer = client.get("/v1/metrics/funnel", params={"pipeline_id": pipeline_id, **_this_year(), **parameters})
    if answer.status_code == 503:  # nothing is published yet
        return {"rows": []}
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def _entered(funnel: dict[str, Any]) -> list[int]:
    return [row["entered"] for row in sorted(funnel["rows"], key=lambda row: row["position"]) if row["kind"] != "lost"]


class TestDemo:
    def test_the_terminal_shows_where_to_go_and_how_to_sign_in(self, sluice: SluiceStack) -> None:
        assert sluice.dashboards_url in sluice.console
        assert "manager@example.com" in sluice.console
        assert "sluice-demo" in sluice.console

    def test_every_demo_person_signs_in_with_the_role_of_the_address(self, sluice: SluiceStack) -> None:
        for email in DEMO_USERS:
            me = sluice.sign_in(email).get("/v1/me").raise_for_status().json()
            assert me["role"] == email.split("@")[0]

    def test_the_manager_sees_last_quarter_and_can_open_the_deals_behind_each_number(self, sluice: SluiceStack) -> None:
        manager = sluice.sign_in("manager@example.com")
        now = datetime.now(UTC)
        first = (now.month - 1) // 3 * 3 + 1
        to = now.replace(month=first, day=1)
        start = (to - timedelta(days=80)).replace(day=1)
        period = {"from": start.date().isoformat(), "to": to.date().isoformat()}
        pipeline = _pipeline(manager)
        funnel = eventually(
            lambda: rows if (rows := _funnel(manager, pipeline["id"], **period))["rows"] else None,
            what="the demo's funnel",
        )
        assert _entered(funnel)[0] > 100
        assert _entered(funnel) == sorted(_entered(funnel), reverse=True)
        for row in funnel["rows"]:
            behind = manager.get(
                "/v1/metrics/funnel/rows",
                params={"pipeline_id": pipeline["id"], **period, "measure": "entered", "stage_id": row["stage_id"]},
            ).raise_for_status()
            assert behind.json()["total"]["count"] == row["entered"]

    def test_the_team_page_credits_twelve_reps(self, sluice: SluiceStack) -> None:
        manager = sluice.sign_in("manager@example.com")
        answer = manager.get("/v1/metrics/team_performance", params=_this_year()).raise_for_status().json()
        owners = {row["owner_id"] for row in answer["rows"] if row["owner_id"] and row["deals_won"]}
        assert len(owners) == 12
        assert all(answer["labels"][owner] for owner in owners)


class TestDealsLife:
    def test_the_funnel_follows_a_deal_from_creation_to_reopening(self, sluice: SluiceStack) -> None:
        owner = sluice.sign_up("follower")
        pipeline = _pipeline(owner)
        stages = [stage for stage in pipeline["stages"] if stage["kind"] == "open"]
        company = owner.post("/v1/companies", json={"name": "Acme"}).raise_for_status().json()
        contact = owner.post("/v1/contacts", json={"name": "Ada Byron", "company_id": company["id"]})
        deal = (
            owner.post(
                "/v1/deals",
                json={
                    "pipeline_id": pipeline["id"],
                    "title": "400 seats",
                    "amount_minor": 1_250_000,
                    "company_id": company["id"],
                    "contact_id": contact.raise_for_status().json()["id"],
                    "occurred_at": (datetime.now(UTC) - timedelta(days=10)).isoformat(),
                },
            )
            .raise_for_status()
            .json()
        )
        path = f"/v1/deals/{deal['id']}"

        def follows(expected: list[int], **parameters: str) -> None:
            eventually(
                lambda: _entered(_funnel(owner, pipeline["id"], **parameters)) == expected,
                what=f"the funnel shows {expected}, {parameters}",
            )

        follows([1, 0, 0, 0, 0])
        backdated = (datetime.now(UTC) - timedelta(days=5)).isoformat()
        owner.post(f"{path}/move", json={"stage_id": stages[1]["id"], "occurred_at": backdated}).raise_for_status()
        follows([1, 1, 0, 0, 0])
        owner.post(f"{path}/win", json={}).raise_for_status()
        follows([1, 1, 1, 1, 1])
        follows([1, 1, 0, 0, 1], order="visited")
        owner.post(f"{path}/reopen", json={"stage_id": stages[0]["id"]}).raise_for_status()
        follows([1, 0, 0, 0, 0], regress="current")
        owner.post(f"{path}/lose", json={"reason": "Price"}).raise_for_status()
        follows([1, 1, 1, 1, 1])

        history = owner.get(f"{path}/history").raise_for_status().json()["items"]
        kinds = [entry["type"] for entry in history]
        assert kinds == ["deal.created", "deal.stage.changed", "deal.closed", "deal.reopened", "deal.closed"]
        assert history[1]["occurred_at"] < history[1]["recorded_at"]

        freshness = _funnel(owner, pipeline["id"])["freshness"]
        assert freshness["through"]
        eventually(lambda: owner.get("/v1/freshness").json()["events_behind"] == 0, what="nothing is behind")

    def test_another_organization_sees_nothing_of_it(self, sluice: SluiceStack) -> None:
        mine, other = sluice.sign_up("mine"), sluice.sign_up("other")
        pipeline = _pipeline(mine)
        deal = mine.post("/v1/deals", json={"pipeline_id": pipeline["id"], "title": "Secret"}).raise_for_status().json()
        assert other.get(f"/v1/deals/{deal['id']}").status_code == 404
        eventually(lambda: _entered(_funnel(mine, pipeline["id"]))[:1] == [1], what="my funnel")
        foreign = other.get("/v1/metrics/funnel", params={"pipeline_id": pipeline["id"], **_this_year()})
        assert foreign.status_code in {404, 422} or all(row["entered"] == 0 for row in foreign.json()["rows"])


def test_people_go_before_the_refresh(sluice: SluiceStack) -> None:
    pids = {row["name"]: row["pid"] for row in sluice.status()["processes"]}
    niceness = {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in pids.items()}
    assert {name for name in niceness if niceness[name] > niceness["api"]} == {"refresh", "dagster"}
