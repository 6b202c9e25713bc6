"""The double's campaigns: one that somebody builds, with two contacts in its audience."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

Row = dict[str, Any]

HOURS = {"opens": "09:00", "closes": "18:00", "days": [1, 2, 3, 4, 5]}
PACE = {"first_day": 50, "growth_percent": 25, "most": 1000}


def campaign_of_one() -> list[Row]:
    """One that has not started."""
    return [
        {
            "id": "k1", "version": 1, "name": "Seats in spring", "state": "draft", "legal_basis": None,
            "basis_note": None, "view_id": None, "filter": [], "account_ids": [], "hours": HOURS, "pace": PACE,
            "steps": [{"kind": "email", "variants": [{"subject": "400 seats", "text": "Hello"}]}],
        }
    ]  # fmt: skip


def trial_rows() -> list[Row]:
    """What the metric says of its two variants."""
    shared = {"campaign_id": "k1", "step": 1, "stage_id": "replied"}
    base = {"variant": "held_out", "entered": 48, "cohort": 80, "rate": 0.6, "compared_with": None}
    nothing: Row = {"difference": None, "low": None, "high": None, "is_chance": None}
    better = {"variant": "A", "entered": 56, "cohort": 70, "rate": 0.8, "compared_with": "held_out"}
    bounds = {"difference": 0.2, "low": 0.0524, "high": 0.3339, "is_chance": False}
    return [{**shared, "group": "k1/1/held_out", **base, **nothing}, {**shared, "group": "k1/1/A", **better, **bounds}]


def recipient_rows() -> list[Row]:
    """What the metric says of its people."""
    counts = {"enrolled": 4, "sent": 4, "delivered": 3, "replied": 2, "deal_created": 1, "moved": 1, "bounced": 1}
    shared = {"group": "k1", "campaign_id": ""}
    return [
        {**shared, "stage_id": step, "entered": count, "share_of_cohort": count / 4} for step, count in counts.items()
    ]


def people_of_one() -> list[Row]:
    """Its recipients: one who waits, and one who was left out."""
    times = {"due_at": "2026-05-01T09:30:00Z", "replied_at": None, "ended_at": None, "campaign_id": "k1", "version": 1}
    ada = {"id": "r1", "contact_id": "c1", "name": "Ada", "company_id": "o1", "state": "waiting", "step": 1}
    bob = {"id": "r2", "contact_id": "c2", "name": None, "company_id": None, "state": "excluded", "step": 1}
    return [
        {**times, **ada, "ending": None, "reason": None},
        {**times, **bob, "due_at": None, "ending": None, "reason": "no_address"},
    ]


def serve_campaigns(app: FastAPI, campaigns: list[Row]) -> None:
    """Serve `/v1/campaigns` over these."""

    def find(campaign_id: str) -> Row:
        return next(one for one in campaigns if one["id"] == campaign_id)

    @app.get("/v1/campaigns")
    def list_campaigns() -> Row:
        return {"items": campaigns, "next_cursor": None}

    @app.post("/v1/campaigns", status_code=201)
    def create(body: Row) -> Row:
        campaigns.append({**campaign_of_one()[0], **body, "id": f"k{len(campaigns) + 1}"})
        return campaigns[-1]

    @app.get("/v1/campaigns/{campaign_id}")
    def read(campaign_id: str) -> Row:
        return find(campaign_id)

    @app.patch("/v1/campaigns/{campaign_id}")
    def change(campaign_id: str, body: Row) -> Row:
        campaign = find(campaign_id)
        campaign |= body
        campaign["version"] += 1
        return campaign

    @app.post("/v1/campaigns/{campaign_id}/{verb}")
    def move(campaign_id: str, verb: str, body: Row | None = None) -> Row:
        campaign = find(campaign_id)
        if verb == "stop":
            campaign["stopped"] = body
            return {"stopped": 1}
        campaign["state"] = {"start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled"}[verb]
        return campaign

    _serve_looks(app, find)
    _serve_suppressions(app)


def _serve_suppressions(app: FastAPI) -> None:
    known: list[Row] = [{"id": "s1", "channel": "email", "address": "full@b.example", "reason": "bounced"}]

    @app.get("/v1/suppressions")
    def suppressions() -> Row:
        return {"items": known, "next_cursor": None}

    @app.post("/v1/suppressions", status_code=204)
    def suppress(body: Row) -> None:
        known.extend({"id": one, "channel": "email", "address": one, "reason": "by_hand"} for one in body["addresses"])

    @app.delete("/v1/suppressions/{suppression_id}", status_code=204)
    def lift(suppression_id: str) -> None:
        known[:] = [one for one in known if one["id"] != suppression_id]


def _serve_looks(app: FastAPI, find: Callable[[str], Row]) -> None:
    @app.get("/v1/views")
    def views() -> Row:
        return {"items": [], "next_cursor": None}

    @app.get("/v1/campaigns/{campaign_id}/audience")
    def audience(campaign_id: str) -> Row:
        assert find(campaign_id)
        people = [
            {"contact_id": "c2", "name": "Bob", "company_id": None, "addresses": {}, "reason": "no_address"},
            {
                "contact_id": "c1",
                "name": "Ada",
                "company_id": None,
                "addresses": {"email": "a@b.example"},
                "reason": None,
            },
        ]
        return {"included": 1, "excluded": 1, "reasons": {"no_address": 1}, "people": people}

    @app.get("/v1/campaigns/{campaign_id}/preview")
    def preview(campaign_id: str, contact_id: str) -> Row:
        assert find(campaign_id)
        words = {"step": 1, "kind": "email", "variant": "A", "subject": "400 seats", "text": f"Hello {contact_id}"}
        words |= {"sender": "sales@us.example", "address": "a@b.example", "html": "<p>Hello</p>"}
        return {"contact_id": contact_id, "wordings": [words | {"missing": ["company.name"]}]}

    @app.get("/v1/campaigns/{campaign_id}/progress")
    def progress(campaign_id: str) -> Row:
        account = {"account_id": "a1", "name": "Sales", "state": "active", "until": None, "room": 30}
        pace = {"begun": 20, "allowance": 50, "accounts": [account, {**account, "name": "Old", "state": "banned"}]}
        if find(campaign_id)["state"] == "draft":
            return {**pace, "recipients": [], "touches": []}
        waiting = {"state": "waiting", "why": None, "recipients": 3, "replied": 0, "next_at": "2026-05-01T09:30:00Z"}
        touches = [{"step": 1, "variant": "A", "state": state, "touches": 2} for state in ("sent", "unknown")]
        return {**pace, "recipients": [waiting], "touches": touches}

    @app.get("/v1/campaigns/{campaign_id}/recipients")
    def recipients(campaign_id: str, state: str | None = None) -> Row:
        assert find(campaign_id)
        return {"items": [one for one in people_of_one() if state in (None, one["state"])], "next_cursor": None}
