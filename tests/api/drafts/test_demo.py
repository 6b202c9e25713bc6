"""The demo's drafts: made without a model, by the rules of all drafts."""

import asyncio
from typing import Any

from runtime import demo_drafts
from tests.api.drafts.conftest import Desk
from tests.factories import Account


class _Caller:
    """The owner's calls, from another thread."""

    def __init__(self, owner: Account) -> None:
        self._owner, self._loop = owner, asyncio.get_running_loop()

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        calling = self._owner.call(method, path, **request)
        answer = asyncio.run_coroutine_threadsafe(calling, self._loop).result(60)
        assert answer.is_success, (path, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def items(self, path: str, **parameters: str | int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", path, params=parameters)["items"]
        return found


async def test_the_demo_has_a_draft_of_each_state_and_sends_nothing(desk: Desk) -> None:
    for number in range(4):
        await desk.owner.made("/v1/contacts", json={"name": f"P{number}", "email": f"p{number}@acme.example"})
    [pipeline, *_] = (await desk.owner.read("/v1/pipelines"))["items"]
    caller = _Caller(desk.owner)
    for _ in range(2):  # again changes nothing
        await asyncio.to_thread(demo_drafts.add, caller, pipeline["id"], desk.database.app_url)
    drafts = (await desk.owner.read("/v1/drafts", params={"limit": 50}))["items"]
    replies = sorted(draft["state"] for draft in drafts if draft["kind"] == "reply")
    assert replies == ["approved", "edited", "generated", "rejected", "sent"]
    others = {draft["kind"]: (draft["state"], draft["action"]) for draft in drafts if draft["kind"] != "reply"}
    assert others == {"summary": ("generated", None), "next_action": ("generated", "call")}
    assert {draft["cost_micro"] for draft in drafts} == {0}
