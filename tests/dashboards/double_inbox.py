"""The double's conversations and accounts: one of each."""

from typing import Any

from fastapi import FastAPI, Response

Row = dict[str, Any]

HOSTILE = "**Bold** <script>alert(1)</script> [a](https://spy.example)"


def inbox_of_one() -> Row:
    """One conversation with one message, and one account."""
    conversation = {
        "id": "c1",
        "version": 2,
        "channel": "email",
        "address": "ada@acme.example",
        "subject": "400 seats",
        "status": "open",
        "assignee_id": None,
        "team_id": None,
        "contact_id": "k1",
        "deal_id": None,
        "unread_count": 1,
        "labels": ["pricing"],
        "snoozed_until": None,
    }
    message = {
        "id": "m1",
        "direction": "in",
        "state": "received",
        "sender": "Ada <ada@acme.example>",
        "text": HOSTILE,
        "occurred_at": "2026-11-20T10:00:00Z",
        "removed_at": None,
        "details": {"attachments": [{"name": "offer.pdf", "type": "application/pdf", "size": 12}]},
    }
    account = {
        "id": "a1",
        "version": 3,
        "channel": "telegram",
        "name": "Berlin",
        "address": "+4930123",
        "state": "connecting",
        "reason": "code_needed",
        "until": None,
        "lease_until": None,
        "not_compared": None,
        "user_id": None,
        "team_id": None,
        "daily_limit": 200,
        "settings": {},
    }
    rental = {
        "id": "r1",
        "offer_id": "tg-17",
        "channel": "telegram",
        "title": "**Aged** account",
        "kind": "rent",
        "price_minor": 2500,
        "currency": "USD",
        "months": 3,
        "renewing_months": None,
        "user_id": None,
        "state": "active",
        "account_id": "a1",
        "failure": "payment_declined",
        "created_at": "2026-05-01T09:30:00Z",
        "handed_over_at": "2026-05-01T09:31:00Z",
        "ends_at": "2026-07-30T09:31:00Z",
        "handed_back_at": None,
    }
    return {
        "conversation": conversation,
        "messages": [message],
        "account": account,
        "missing": 0,
        "secret": {},
        "rentals": [rental],
        "rental_calls": [],
        "others": [],
        "confirmed": [],
        "canned": [{"id": "k1", "title": "Prices", "text": "Our prices"}],
    }


def serve_inbox(app: FastAPI, inbox: Row) -> None:  # noqa: C901 # a list of answers
    """Serve what the pages Inbox and Accounts read and write."""

    def page(*items: Row) -> Row:
        return {"items": list(items), "next_cursor": None}

    @app.get("/v1/conversations")
    def list_conversations(status: str | None = None) -> Row:
        found = inbox["conversation"]
        return page(found) if status in (None, found["status"]) else page()

    @app.get("/v1/conversations/c1")
    def read_conversation(response: Response) -> Row:
        response.headers["ETag"] = f'"{inbox["conversation"]["version"]}"'
        found: Row = inbox["conversation"]
        return found

    @app.get("/v1/conversations/c1/messages")
    def list_messages() -> Row:
        return page(*reversed(inbox["messages"]))

    @app.post("/v1/conversations/c1/{what}")
    def act(what: str, body: Row | None = None) -> Row:
        states = {"messages": "queued", "notes": "note"}
        if what in states:
            direction = "out" if what == "messages" else "note"
            made = {**inbox["messages"][0], "id": "m2", "direction": direction, "state": states[what], **(body or {})}
            inbox["messages"].append(made)
        elif what == "close":
            inbox["conversation"]["status"] = "closed"
        elif what == "seen":
            inbox["conversation"]["unread_count"] = 0
        return {}

    @app.post("/v1/conversations", status_code=201)
    def start(body: Row) -> Row:
        inbox["started"] = body
        return {**inbox["conversation"]}

    @app.put("/v1/conversations/c1/presence")
    def be_present() -> Row:
        return {"others": inbox["others"]}

    @app.patch("/v1/conversations/c1")
    def change(body: Row) -> Row:
        found: Row = inbox["conversation"]
        found |= body | ({"status": "snoozed"} if body.get("snoozed_until") else {})
        return found

    @app.post("/v1/messages/{message_id}/confirm")
    def confirm(message_id: str) -> Row:
        inbox["confirmed"].append(message_id)
        return {}

    @app.get("/v1/live/events")
    def list_live_events() -> Row:
        return {"stream": "s1", "sequence": 7, "is_reset": False, "has_more": False, "events": []}

    @app.get("/v1/canned-replies")
    def list_canned_replies() -> Row:
        return page(*inbox["canned"])

    @app.post("/v1/canned-replies", status_code=201)
    def keep_canned_reply(body: Row) -> Row:
        made = {"id": "k2", **body}
        inbox["canned"].append(made)
        return made

    @app.get("/v1/bd-accounts")
    def list_accounts() -> Row:
        return page(inbox["account"])

    @app.post("/v1/bd-accounts", status_code=201)
    def add_account(body: Row) -> Row:
        inbox["added"] = body
        return {**inbox["account"], **body}

    @app.get("/v1/bd-accounts/a1/health")
    def read_health() -> Row:
        people = {"written_to": 20, "answered": 9}
        return {"health": 0.5, "sent_today": 3, "budget": 97, "signs": {"flood_wait": 1}, **people}

    @app.get("/v1/bd-accounts/a1/assignments")
    def list_assignments() -> Row:
        ended = {"started_at": "2026-11-20T10:00:00Z", "ended_at": "2026-11-21T10:00:00Z"}
        return page({"id": "h1", "user_id": "u0", "team_id": None, **ended})

    @app.get("/v1/bd-accounts/a1/days")
    def list_days() -> Row:
        counts = {"provider": 100, "stored": 97, "missing": inbox["missing"], "healed": 0}
        day = {"day": "2026-11-20", **counts, "filtered": {"copy": 2}, "failed": {"payload_too_large": 1}}
        return page(day)

    @app.get("/v1/rental-offers")
    def list_offers() -> Row:
        names = ("channel", "title", "kind", "price_minor", "currency")
        return {"offers": [{"id": "tg-18", **{name: inbox["rentals"][0][name] for name in names}}]}

    @app.get("/v1/rentals")
    def list_rentals() -> Row:
        return page(*inbox["rentals"])

    @app.post("/v1/rentals", status_code=201)
    def order(body: Row) -> Row:
        inbox["rental_calls"].append(("order", body))
        return {**inbox["rentals"][0], "state": "ordered"}

    @app.post("/v1/rentals/r1/{what}")
    def act_on_rental(what: str, body: Row | None = None) -> Row:
        inbox["rental_calls"].append((what, body or {}))
        return {**inbox["rentals"][0]}

    @app.post("/v1/bd-accounts/a1/assign")
    def assign(body: Row) -> Row:
        inbox["account"] |= body | {"version": inbox["account"]["version"] + 1}
        return {**inbox["account"]}

    @app.post("/v1/bd-accounts/a1/state")
    def report(body: Row) -> Row:
        inbox["account"] |= {"reason": None, **body, "version": inbox["account"]["version"] + 1}
        return {**inbox["account"]}

    @app.patch("/v1/bd-accounts/a1")
    def change_account(body: Row) -> Row:
        inbox["account"] |= body
        return dict(inbox["account"])

    @app.post("/v1/bd-accounts/a1/secret")
    def keep_secret(body: Row) -> Row:
        inbox["secret"] |= body["values"]
        return {}
