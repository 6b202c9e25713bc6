"""The demo's drafts: made without a model, by the rules of all drafts."""

import asyncio
from typing import Any

from contracts.calls.call import Answer, Call
from runtime import demo_drafts
from tests.api.drafts.conftest import Desk
from tests.factories import Account


class _Caller:
    """The owner's calls, from another thread."""

    def __init__(self, owner: Account) -> None:
        self._owner, self._loop = owner, asyncio.get_running_loop()

    def ask(self, call: Call[Answer], **form: Any) -> Answer:
        assert not form
        return asyncio.run_coroutine_threadsafe(self._owner.ask(call), self._loop).result(60)


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
