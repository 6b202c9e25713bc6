"""The demo's conversations: customers write about their open deals, some are answered, one is noted and one sleeps.

The mailbox is one that nobody connects: what came in and went out is told to the API as its connector would. Safe to
run again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.demo_records import Caller

_ADDRESS = "inbox@example.com"
_MOST = 12
_CANNED = (
    ("Prices", "Our prices are on one page, per seat and month. Shall I make you an offer?"),
    ("Call", "Would a quarter of an hour tomorrow suit you?"),
)
_TALKS = (
    (
        "Seats for the new team",
        "We grow to forty people in spring. What would that cost?",
        "I send you an offer today.",
    ),
    ("A question about the trial", "Can we keep what we entered when the trial ends?", "Yes, all of it stays."),
    ("Contract", "Our lawyers ask for the processing agreement.", None),
    ("Next steps", "Thank you for the demo. Who else should see it before we decide?", "Whoever will report on it."),
)


def add(owner: Caller) -> None:
    """Let them write."""
    if any(one["address"] == _ADDRESS for one in owner.items("/v1/bd-accounts", channel="email")):
        return
    writers = _writers(owner)
    body = {"channel": "email", "name": "Demo inbox, not connected", "address": _ADDRESS}
    account = owner.call("POST", "/v1/bd-accounts", json=body)
    path = f"/v1/bd-accounts/{account['id']}"
    owner.call("POST", f"{path}/state", json={"state": "active"})
    held = {"account_id": account["id"]}
    held["epoch"] = owner.call("POST", f"{path}/lease", json={"holder": "demo"})["epoch"]
    if writers:
        seen = [_message(number, one) for number, one in enumerate(writers)]
        taken = owner.call("POST", "/v1/messages/inbound", json={**held, "messages": seen})["messages"]
        _answer(owner, held, [one["conversation_id"] for one in taken])
        _compare(owner, path, held["epoch"], seen)
    for title, text in _CANNED:
        owner.call("POST", "/v1/canned-replies", json={"title": title, "text": text})


def _writers(owner: Caller) -> list[dict[str, Any]]:
    """Contacts with an open deal and an address."""
    deals = owner.items("/v1/deals", status="open", limit=50)
    ids = list(dict.fromkeys(deal["contact_id"] for deal in deals if deal["contact_id"]))
    contacts = (owner.call("GET", f"/v1/contacts/{one}") for one in ids[: 2 * _MOST])
    return [one for one in contacts if one["email"]][:_MOST]


def _message(number: int, contact: dict[str, Any]) -> dict[str, Any]:
    subject, text, _ = _TALKS[number % len(_TALKS)]
    name = f"<demo-{number}@example.com>"
    return {
        "provider_id": name,
        "thread_key": name,
        "address": contact["email"],
        "sender": contact["name"],
        "direction": "in",
        "subject": subject,
        "text": text,
        "occurred_at": (datetime.now(UTC) - timedelta(hours=3 + 7 * number)).isoformat(),
    }


def _compare(owner: Caller, path: str, epoch: int, seen: list[dict[str, Any]]) -> None:
    """Each day's ledger: of one day a copy was left out."""
    by_day: dict[str, list[str]] = {}
    for message in seen:
        by_day.setdefault(message["occurred_at"][:10], []).append(message["provider_id"])
    for day, names in by_day.items():
        filtered = {"copy": 1} if day == min(by_day) else {}
        body = {"epoch": epoch, "provider_ids": names, "filtered": filtered}
        owner.call("POST", f"{path}/days/{day}", json=body)


def _answer(owner: Caller, held: dict[str, Any], conversations: list[str]) -> None:
    """Half of them get an answer; of the rest one is noted about, one labelled, and one sleeps."""
    for number, conversation_id in enumerate(conversations):
        answer = _TALKS[number % len(_TALKS)][2]
        if answer is not None and number % 2:
            owner.call("POST", f"/v1/conversations/{conversation_id}/messages", json={"text": answer})
    for send in owner.call("POST", "/v1/sends/claim", json={**held, "limit": 100})["sends"]:
        owner.call("POST", f"/v1/sends/{send['send_id']}/result", json={"epoch": held["epoch"], "state": "sent"})
    first, *rest = conversations
    owner.call("POST", f"/v1/conversations/{first}/notes", json={"text": "They decide in two weeks."})
    for conversation_id, change in zip(
        rest,
        ({"labels": ["contract"]}, {"snoozed_until": (datetime.now(UTC) + timedelta(days=3)).isoformat()}),
        strict=False,
    ):
        owner.call("PATCH", f"/v1/conversations/{conversation_id}", json=change)
