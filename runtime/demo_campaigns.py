"""The demo's campaign: calls in two wordings with some people held out, then a mail in a month. No mail leaves.

Its mailbox is one that nobody connects. Safe to run again.
"""

from typing import Any

from runtime.demo_records import Caller

_NAME = "Seats in autumn"
_PEOPLE = 40
_CALLS = {
    "kind": "task",
    "hold_out_percent": 20,
    "variants": [
        {"subject": "Call {{contact.name}} about seats", "text": "Ask how many people work with it today."},
        {"subject": "Call {{contact.name}} about prices", "text": "Ask when their budget is decided."},
    ],
}
_MAIL = {
    "kind": "email",
    "wait_days": 30,
    "when": "!recipient.has_replied",
    "variants": [
        {"subject": "Seats for {{company.name | your team}}", "text": "Hello {{contact.first_name | there}},"}
    ],
}


def add(owner: Caller) -> None:
    """Start it for the newest contacts."""
    contacts = owner.items("/v1/contacts", limit=_PEOPLE)
    if not contacts or any(one["name"] == _NAME for one in owner.items("/v1/campaigns")):
        return
    account = mailbox(owner)
    body: dict[str, Any] = {
        "name": _NAME,
        "legal_basis": "contract",
        "basis_note": "They are customers, and it is about what they bought.",
        "filter": [["id", "in", [one["id"] for one in contacts]]],
        "account_ids": [account["id"]],
        "steps": [_CALLS, _MAIL],
    }
    made = owner.call("POST", "/v1/campaigns", json=body)
    owner.call("POST", f"/v1/campaigns/{made['id']}/start")


def mailbox(owner: Caller) -> dict[str, Any]:
    """The demo's mailbox, which nobody connects."""
    address = "demo@example.com"
    known = [one for one in owner.items("/v1/bd-accounts", channel="email") if one["address"] == address]
    body = {"channel": "email", "name": "Demo mailbox, not connected", "address": address}
    return known[0] if known else owner.call("POST", "/v1/bd-accounts", json=body)
