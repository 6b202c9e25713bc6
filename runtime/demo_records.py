"""What people of the demo add by hand: fields of their own, tasks, notes and calls, a view. Safe to run again."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from contracts.calls import activities, contacts, custom_fields, deals, files, notes, tasks, views
from contracts.calls.call import Answer, Call
from contracts.calls.schemas import (
    ActivityCreate,
    ContactUpdate,
    CustomFieldCreate,
    CustomFieldRead,
    DealRead,
    EmailAddress,
    TaskCreate,
    ViewCreate,
)

_SEATS, _COMPETITOR = "Seats", "Competitor"
_COMPETITORS = ("Northgate", "Blaustein", "None")
_NOTES = (
    "Wants a comparison with what they use today.",
    "The budget is decided in the next quarter.",
    "Asked for two references of their size.",
)
_DEALS = 12


class Caller(Protocol):
    """Somebody's calls of the API; each must succeed."""

    def ask(self, call: Call[Answer], **form: Any) -> Answer:  # noqa: ANN401 # httpx's own
        """The answer's body. A `form` is for what takes files."""


def add(owner: Caller, pipeline_id: str) -> None:
    """Add them to the newest open deals of a pipeline."""
    seats, competitor, _ = _fields(owner)
    found = owner.ask(deals.list_deals(pipeline_id=pipeline_id, status="open", limit=_DEALS))["items"]
    if not found or owner.ask(views.list_views(record_kind="deal"))["items"]:
        return
    for number, deal in enumerate(found):
        choice = competitor["choices"][number % len(_COMPETITORS)]["id"]
        custom = {seats["id"]: 50 * (number + 1), competitor["id"]: choice}
        owner.ask(deals.update_deal(deal["id"], {"custom": custom}, version=deal["version"]))
        _work_on(owner, deal, number, now=datetime.now(UTC))
    _addresses(owner)
    view: ViewCreate = {
        "name": "Large ones",
        "record_kind": "deal",
        "filter": [["amount_minor", ">=", 5_000_000]],
        "sort": "-amount_minor",
        "is_shared": True,
    }
    owner.ask(views.create_view(view))


def _work_on(owner: Caller, deal: DealRead, number: int, *, now: datetime) -> None:
    """A note, a call or a meeting, an offer as a file, and a task."""
    owner.ask(notes.create_note({"body": _NOTES[number % len(_NOTES)], "deal_id": deal["id"]}))
    held: ActivityCreate = {
        "kind": "call" if number % 3 else "meeting",
        "took_place_at": (now - timedelta(days=number, hours=2)).isoformat(),
        "duration_seconds": 60 * (number + 5),
        "deal_id": deal["id"],
    }
    owner.ask(activities.log_activity(held))
    offer = {"file": ("offer.txt", f"Offer {number + 1}: see you on the phone.".encode(), "text/plain")}
    owner.ask(files.attach_file(), files=offer, data={"deal_id": deal["id"]})
    task: TaskCreate = {
        "title": "Send the offer" if number % 2 else "Call about the next step",
        "due_at": (now + timedelta(days=number - 3)).isoformat(),
        "assignee_id": deal["owner_id"],
        "deal_id": deal["id"],
    }
    owner.ask(tasks.create_task(task))


def _fields(owner: Caller) -> list[CustomFieldRead]:
    known = {one["name"]: one for one in owner.ask(custom_fields.list_custom_fields(record_kind="deal"))["items"]}
    wanted: tuple[CustomFieldCreate, ...] = (
        {"record_kind": "deal", "name": _SEATS, "type": "number"},
        {
            "record_kind": "deal",
            "name": _COMPETITOR,
            "type": "choice",
            "choices": [{"label": label} for label in _COMPETITORS],
        },
        {
            "record_kind": "deal",
            "name": "Per seat",
            "type": "computed",
            "expression": f'deal.amount / deal.custom["{_SEATS}"]',
        },
    )
    return [known.get(one["name"]) or owner.ask(custom_fields.create_custom_field(one)) for one in wanted]


def _addresses(owner: Caller) -> None:
    """A few contacts are reached in several ways."""
    for number, contact in enumerate(owner.ask(contacts.list_contacts(limit=_DEALS))["items"]):
        known: list[EmailAddress] = [{"value": one["value"]} for one in contact["emails"]]
        more: ContactUpdate = {
            "emails": [*known, {"type": "personal", "value": f"private{number}@home.example"}],
            "phones": [{"type": "mobile", "value": f"+49 151 2345{number:04d}"}],
            "handles": [{"type": "telegram", "value": f"@demo_{number}"}],
        }
        owner.ask(contacts.update_contact(contact["id"], more, version=contact["version"]))
