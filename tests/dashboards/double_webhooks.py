"""What the double answers about webhooks."""

from typing import Any

from fastapi import FastAPI

Row = dict[str, Any]

WEBHOOK = {
    "id": "w1",
    "version": 3,
    "url": "https://hooks.example.com/*bold*",
    "event_types": ["deal.created"],
    "state": "active",
    "reason": None,
    "first_failed_at": None,
    "before_until": None,
    "created_at": "2026-05-01T09:30:00Z",
    "updated_at": "2026-05-01T09:30:00Z",
}
DELIVERY = {
    "id": "d1",
    "webhook_id": "w1",
    "event_id": "e1",
    "event_type": "deal.created",
    "status": "failed",
    "attempts": 8,
    "next_attempt_at": None,
    "sent_at": None,
    "answer_status": 500,
    "answer": "<b>no</b>",
    "error": "It answered 500.",
    "created_at": "2026-05-01T09:30:00Z",
}


def serve_webhooks(app: FastAPI, changed: list[tuple[str, Row]]) -> None:
    """Add the paths; what is written is noted in `changed`."""

    def listed(path: str, items: list[Any]) -> None:
        app.add_api_route(path, lambda: {"items": items, "next_cursor": None}, methods=["GET"])

    listed("/v1/webhooks", [WEBHOOK])
    listed("/v1/webhooks/event-types", ["deal.created", "deal.deleted"])
    listed("/v1/webhooks/{webhook_id}/deliveries", [DELIVERY])

    @app.post("/v1/webhooks", status_code=201)
    def make(body: Row) -> Row:
        changed.append(("webhook", body))
        return WEBHOOK | body | {"secret": "whsec_secret"}

    @app.patch("/v1/webhooks/{webhook_id}")
    def change(webhook_id: str, body: Row) -> Row:
        changed.append((webhook_id, body))
        return WEBHOOK | body

    @app.post("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")
    def replay(webhook_id: str, delivery_id: str) -> Row:
        changed.append((delivery_id, {"webhook": webhook_id}))
        return DELIVERY
