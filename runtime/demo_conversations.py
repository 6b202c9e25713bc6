"""The demo's conversations: customers write about their open deals, some are answered, one is noted and one sleeps.

The mailbox is one that nobody connects: what came in and went out is told to the API as its connector would. Safe to
run again.
"""

from datetime import UTC, datetime, timedelta

from contracts.calls import bd_accounts, connectors, contacts, conversations, deals
from contracts.calls.schemas import ContactRead, ConversationUpdate, InboundBatch, MessageSeen
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
    if any(one["address"] == _ADDRESS for one in owner.ask(bd_accounts.list_bd_accounts(channel="email"))["items"]):
        return
    writers = _writers(owner)
    account = owner.ask(
        bd_accounts.create_bd_account({"channel": "email", "name": "Demo inbox, not connected", "address": _ADDRESS})
    )["id"]
    owner.ask(connectors.report_bd_account(account, {"state": "active"}))
    epoch = owner.ask(connectors.lease_bd_account(account, {"holder": "demo"}))["epoch"]
    if writers:
        seen = [_message(number, one) for number, one in enumerate(writers)]
        batch: InboundBatch = {"account_id": account, "epoch": epoch, "messages": seen}
        taken = owner.ask(connectors.take_in_messages(batch))["messages"]
        _answer(owner, account, epoch, [one["conversation_id"] for one in taken])
        _compare(owner, account, epoch, seen)
    for title, text in _CANNED:
        owner.ask(conversations.create_canned_reply({"title": title, "text": text}))


def _writers(owner: Caller) -> list[ContactRead]:
    """Contacts with an open deal and an address."""
    listed = owner.ask(deals.list_deals(status="open", limit=50))["items"]
    ids = list(dict.fromkeys(deal["contact_id"] for deal in listed if deal["contact_id"]))
    people = (owner.ask(contacts.read_contact(one)) for one in ids[: 2 * _MOST])
    return [one for one in people if one["email"]][:_MOST]


def _message(number: int, contact: ContactRead) -> MessageSeen:
    subject, text, _ = _TALKS[number % len(_TALKS)]
    name = f"<demo-{number}@example.com>"
    return {
        "provider_id": name,
        "thread_key": name,
        "address": contact["email"] or "",
        "sender": contact["name"],
        "direction": "in",
        "subject": subject,
        "text": text,
        "occurred_at": (datetime.now(UTC) - timedelta(hours=3 + 7 * number)).isoformat(),
    }


def _compare(owner: Caller, account: str, epoch: int, seen: list[MessageSeen]) -> None:
    """Each day's ledger: of one day a copy was left out."""
    by_day: dict[str, list[str]] = {}
    for message in seen:
        by_day.setdefault(message["occurred_at"][:10], []).append(message["provider_id"])
    for day, names in by_day.items():
        filtered = {"copy": 1} if day == min(by_day) else {}
        owner.ask(
            bd_accounts.compare_bd_account_day(
                account, day, {"epoch": epoch, "provider_ids": names, "filtered": filtered}
            )
        )


def _answer(owner: Caller, account: str, epoch: int, threads: list[str]) -> None:
    """Half of them get an answer; of the rest one is noted about, one labelled, and one sleeps."""
    for number, conversation_id in enumerate(threads):
        answer = _TALKS[number % len(_TALKS)][2]
        if answer is not None and number % 2:
            owner.ask(conversations.reply_to_conversation(conversation_id, {"text": answer}))
    claimed = owner.ask(connectors.claim_sends({"account_id": account, "epoch": epoch, "limit": 100}))
    for send in claimed["sends"]:
        owner.ask(connectors.tell_send_result(send["send_id"], {"epoch": epoch, "state": "sent"}))
    first, *rest = threads
    owner.ask(conversations.note_conversation(first, {"text": "They decide in two weeks."}))
    changes: tuple[ConversationUpdate, ...] = (
        {"labels": ["contract"]},
        {"snoozed_until": (datetime.now(UTC) + timedelta(days=3)).isoformat()},
    )
    for conversation_id, change in zip(rest, changes, strict=False):
        owner.ask(conversations.update_conversation(conversation_id, change))
