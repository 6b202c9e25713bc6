"""Rules that have something written: a person decides what becomes of it."""

import pytest

from api.drafts.worker import write_requested
from api.edge.outgoing import Breaker
from contracts.settings import AiSettings
from tests.api.drafts.conftest import use_model
from tests.api.rules.conftest import Shop
from tests.model_server import obedient_model


async def test_a_requested_draft_is_written_once_and_waits_for_a_person(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = {"do": "draft.request", "with": {"kind": "summary", "wish": "Be brief"}}
    reply = {"do": "draft.request", "with": {"kind": "reply"}}  # there is no conversation: nothing to reply to
    rule = await shop.rule("deal.created", summary, reply)
    first = await shop.deal()
    await shop.settle()
    [run] = await shop.runs(rule)
    assert (run["outcome"], run["detail"]) == (
        "failed",
        "draft.request: Drafts are not set up here. An operator sets SLUICE_OPENAI_API_KEY.",
    )
    with obedient_model() as model:
        use_model(monkeypatch, model.url)
        deal = await shop.deal()
        await shop.settle()
        [waiting] = (await shop.owner.read("/v1/drafts"))["items"]
        assert (waiting["state"], waiting["deal_id"]) == ("generating", deal["id"])
        assert await write_requested(shop.pool, AiSettings(), Breaker()) == 1
        assert await write_requested(shop.pool, AiSettings(), Breaker()) == 0
        [draft] = (await shop.owner.read("/v1/drafts"))["items"]
        assert (draft["state"], draft["text"], draft["author_id"]) == ("generated", "Thank you.", None)
        assert "Be brief" in str(model.asked)
        [_, run] = await shop.runs(rule)
        assert [action["after"].get("draft_id") for action in run["actions"]] == [draft["id"], None]
        assert run["subject_id"] == deal["id"] != first["id"]
