"""The double's drafts: they are approved by the hash of their text, and sent only then."""

from hashlib import sha256
from json import dumps
from typing import Any

from fastapi import FastAPI, Response

Row = dict[str, Any]


def draft_of_one() -> list[Row]:
    """One draft that waits."""
    text = "400 seats cost $1,000."
    return [
        {
            "id": "d1",
            "version": 1,
            "kind": "reply",
            "state": "generated",
            "text": text,
            "text_hash": hash_of(text),
            "model": "small",
            "prompt": "reply@1",
            "cited": ["deal.stage"],
            "cost_micro": 350,
        }
    ]


def hash_of(text: str) -> str:
    """SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()


def serve_drafts(app: FastAPI, drafts: list[Row]) -> None:
    """Serve `/v1/drafts` over these."""

    policy: Row = {"monthly_budget": None, "hides_people": None, "link_hosts": []}

    def find(draft_id: str) -> Row:
        return next(draft for draft in drafts if draft["id"] == draft_id)

    @app.get("/v1/drafts")
    def list_drafts(conversation_id: str | None = None, deal_id: str | None = None, state: str | None = None) -> Row:
        about = {"conversation_id": conversation_id, "deal_id": deal_id, "state": state}
        asked = {name: value for name, value in about.items() if value is not None}
        items = [draft for draft in drafts if all(draft.get(name) == value for name, value in asked.items())]
        return {"items": items, "next_cursor": None}

    @app.get("/v1/drafts/settings")
    def settings() -> Row:
        cost = {"spent_micro": 350, "budget_micro": 20_000_000, "operator_budget_micro": 20_000_000}
        return {"is_on": True, "off_because": None, "hides_people": True, **cost, "policy": policy}

    @app.put("/v1/drafts/settings")
    def choose(body: Row) -> Row:
        policy.update(body)
        return policy

    @app.post("/v1/drafts/stream")
    def stream(body: Row) -> Response:
        drafts.append({**draft_of_one()[0], **body, "id": f"d{len(drafts) + 1}"})
        events = [("text", {"text": "400"}), ("text", {"text": "400 seats"}), ("draft", drafts[-1])]
        lines = "".join(f"event: {name}\ndata: {dumps(data)}\n\n" for name, data in events)
        return Response(lines, media_type="text/event-stream")

    @app.patch("/v1/drafts/{draft_id}")
    def change(draft_id: str, body: Row) -> Row:
        draft = find(draft_id)
        draft |= {"text": body["text"], "text_hash": hash_of(body["text"]), "state": "edited"}
        draft["version"] += 1
        return draft

    @app.post("/v1/drafts/{draft_id}/approve")
    def approve(draft_id: str, body: Row) -> Row:
        draft = find(draft_id)
        assert body["text_hash"] == draft["text_hash"]
        return draft | {"state": "approved"}

    @app.post("/v1/drafts/{draft_id}/{verb}")
    def decide(draft_id: str, verb: str) -> Row:
        draft = find(draft_id)
        draft["state"] = {"send": "sent", "reject": "rejected"}[verb]
        return draft
