"""The demo's campaign: calls in two wordings with some people held out, then a mail in a month. No mail leaves.

Its mailbox is one that nobody connects. Safe to run again.
"""

from contracts.calls import bd_accounts, campaigns, contacts
from contracts.calls.schemas import AccountRead, CampaignCreate, Step
from runtime.demo_records import Caller

_NAME = "Seats in autumn"
_PEOPLE = 40
_CALLS: Step = {
    "kind": "task",
    "hold_out_percent": 20,
    "variants": [
        {"subject": "Call {{contact.name}} about seats", "text": "Ask how many people work with it today."},
        {"subject": "Call {{contact.name}} about prices", "text": "Ask when their budget is decided."},
    ],
}
_MAIL: Step = {
    "kind": "email",
    "wait_days": 30,
    "when": "!recipient.has_replied",
    "variants": [
        {"subject": "Seats for {{company.name | your team}}", "text": "Hello {{contact.first_name | there}},"}
    ],
}


def add(owner: Caller) -> None:
    """Start it for the newest contacts."""
    people = owner.ask(contacts.list_contacts(limit=_PEOPLE))["items"]
    if not people or any(one["name"] == _NAME for one in owner.ask(campaigns.list_campaigns())["items"]):
        return
    account = mailbox(owner)
    body: CampaignCreate = {
        "name": _NAME,
        "legal_basis": "contract",
        "basis_note": "They are customers, and it is about what they bought.",
        "filter": [["id", "in", [one["id"] for one in people]]],
        "account_ids": [account["id"]],
        "steps": [_CALLS, _MAIL],
    }
    made = owner.ask(campaigns.create_campaign(body))
    owner.ask(campaigns.start_campaign(made["id"]))


def mailbox(owner: Caller) -> AccountRead:
    """The demo's mailbox, which nobody connects."""
    address = "demo@example.com"
    for one in owner.ask(bd_accounts.list_bd_accounts(channel="email"))["items"]:
        if one["address"] == address:
            return one
    return owner.ask(
        bd_accounts.create_bd_account({"channel": "email", "name": "Demo mailbox, not connected", "address": address})
    )
