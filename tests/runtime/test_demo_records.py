"""What the demo adds by hand is there once, however often it is filled."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from api.main import create_app
from contracts.calls.call import Answer, Call
from contracts.settings import DatabaseSettings
from runtime import demo_campaigns, demo_conversations, demo_money, demo_records
from tests.conftest import Database
from tests.factories import PASSWORD, api_settings, new_email


class Caller:
    """The owner of a new organization."""

    def __init__(self, http: TestClient) -> None:
        self._http = http
        body = {"email": new_email("owner"), "password": PASSWORD, "name": "Robin", "organization_name": "Acme"}
        http.headers["Authorization"] = f"Bearer {http.post('/v1/auth/signup', json=body).json()['access_token']}"

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = self._http.request(method, path, **request)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, call: Call[Answer], **form: Any) -> Answer:
        request = form or {"json": call.body}
        return cast("Answer", self.call(call.method, call.path, params=call.pairs, headers=call.headers, **request))

    def items(self, path: str, **parameters: str | int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", path, params=parameters)["items"]
        return found


@pytest.fixture
def owner(database: Database, tmp_path: Path) -> Iterator[Caller]:
    from_settings = DatabaseSettings.model_validate({"database_url": database.app_url})
    with TestClient(create_app(api_settings(files_path=tmp_path), from_settings)) as http:
        yield Caller(http)


def test_each_once(owner: Caller) -> None:
    [pipeline] = owner.items("/v1/pipelines")
    for number in range(3):
        owner.call("POST", "/v1/deals", json={"title": f"D{number}", "pipeline_id": pipeline["id"]})
    for _ in range(2):
        demo_records.add(owner, pipeline["id"])
        demo_money.add(owner, pipeline["id"])
    kinds = ("tasks", "notes", "files", "activities", "views", "custom-fields")
    counts = {name: len(owner.items(f"/v1/{name}")) for name in kinds}
    assert counts == {"tasks": 3, "notes": 3, "files": 3, "activities": 3, "views": 1, "custom-fields": 3}


def test_a_campaign_runs_once_and_nobody_is_mailed_yet(owner: Caller) -> None:
    for number in range(3):
        owner.call("POST", "/v1/contacts", json={"name": f"C {number}", "email": f"c{number}@example.com"})
    for _ in range(2):
        demo_campaigns.add(owner)
    [campaign] = owner.items("/v1/campaigns")
    assert (campaign["state"], campaign["steps"][0]["kind"]) == ("running", "task")
    assert len(owner.items(f"/v1/campaigns/{campaign['id']}/recipients")) == 3
    assert owner.items("/v1/messages") == []


def test_customers_write_about_their_deals_once(owner: Caller) -> None:
    [pipeline] = owner.items("/v1/pipelines")
    for number in range(4):
        contact = owner.call("POST", "/v1/contacts", json={"name": f"C {number}", "email": f"c{number}@example.com"})
        deal = {"title": f"D{number}", "pipeline_id": pipeline["id"], "contact_id": contact["id"]}
        owner.call("POST", "/v1/deals", json=deal)
    for _ in range(2):
        demo_conversations.add(owner)
    conversations = owner.items("/v1/conversations")
    assert sorted(one["status"] for one in conversations) == ["open", "open", "open", "snoozed"]
    assert all(one["deal_id"] and one["contact_id"] for one in conversations)
    states = sorted(one["state"] for one in owner.items("/v1/messages"))
    assert states == ["note", "received", "received", "received", "received", "sent", "sent"]
