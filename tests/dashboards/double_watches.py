"""What the double answers about watched figures."""

from typing import Any

from fastapi import FastAPI

Row = dict[str, Any]

WATCH: Row = {
    "id": "w1",
    "version": 4,
    "name": "*Won*, this quarter",
    "metric": "bookings",
    "measure": "won_amount_minor",
    "question": {},
    "period": "this_quarter",
    "direction": "above",
    "threshold": 25_000_000.0,
    "margin": 0.0,
    "by_mail": True,
    "digest": None,
    "value": 25_100_050.0,
    "currency": "EUR",
    "period_from": "2026-04-01",
    "recorded_at": "2026-05-01T09:30:00Z",
    "is_raised": True,
    "problem": None,
    "created_at": "2026-05-01T09:30:00Z",
    "updated_at": "2026-05-01T09:30:00Z",
}


def serve_watches(app: FastAPI, changed: list[tuple[str, Row]]) -> None:
    """Add the paths; what is written is noted in `changed`."""

    @app.get("/v1/watches")
    def listed() -> Row:
        return {"items": [WATCH], "next_cursor": None}

    @app.post("/v1/watches", status_code=201)
    def make(body: Row) -> Row:
        changed.append(("watch", body))
        return WATCH | body

    @app.delete("/v1/watches/{watch_id}", status_code=204)
    def stop(watch_id: str) -> None:
        changed.append((watch_id, {}))
