"""What people of the demo add by hand: fields of their own, tasks, notes and calls, a view. Safe to run again."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

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

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401 # httpx's own
        """The answer's body."""

    def items(self, path: str, **parameters: str | int) -> list[dict[str, Any]]:
        """The first page of a list."""


def add(owner: Caller, pipeline_id: str) -> None:
    """Add them to the newest open deals of a pipeline."""
    seats, competitor, _ = _fields(owner)
    deals = owner.items("/v1/deals", pipeline_id=pipeline_id, status="open", limit=_DEALS)
    if not deals or owner.items("/v1/views", record_kind="deal"):
        return
    now = datetime.now(UTC)
    for number, deal in enumerate(deals):
        choice = competitor["choices"][number % len(_COMPETITORS)]["id"]
        body = {"custom": {seats["id"]: 50 * (number + 1), competitor["id"]: choice}}
        owner.call("PATCH", f"/v1/deals/{deal['id']}", json=body, headers={"If-Match": f'"{deal["version"]}"'})
        owner.call("POST", "/v1/notes", json={"body": _NOTES[number % len(_NOTES)], "deal_id": deal["id"]})
        held = (now - timedelta(days=number, hours=2)).isoformat()
        call = {
            "kind": "call" if number % 3 else "meeting",
            "took_place_at": held,
            "duration_seconds": 60 * (number + 5),
        }
        owner.call("POST", "/v1/activities", json=call | {"deal_id": deal["id"]})
        offer = {"file": ("offer.txt", f"Offer {number + 1}: see you on the phone.".encode(), "text/plain")}
        owner.call("POST", "/v1/files", files=offer, data={"deal_id": deal["id"]})
        task = {"title": "Send the offer" if number % 2 else "Call about the next step", "deal_id": deal["id"]}
        due = (now + timedelta(days=number - 3)).isoformat()
        owner.call("POST", "/v1/tasks", json=task | {"due_at": due, "assignee_id": deal["owner_id"]})
    _addresses(owner)
    view = {"name": "Large ones", "record_kind": "deal", "filter": [["amount_minor", ">=", 5_000_000]]}
    owner.call("POST", "/v1/views", json=view | {"sort": "-amount_minor", "is_shared": True})


def _fields(owner: Caller) -> list[dict[str, Any]]:
    known = {field["name"]: field for field in owner.items("/v1/custom-fields", record_kind="deal")}
    wanted = (
        {"name": _SEATS, "type": "number"},
        {"name": _COMPETITOR, "type": "choice", "choices": [{"label": label} for label in _COMPETITORS]},
        {"name": "Per seat", "type": "computed", "expression": f'deal.amount / deal.custom["{_SEATS}"]'},
    )
    return [
        known.get(one["name"]) or owner.call("POST", "/v1/custom-fields", json={"record_kind": "deal", **one})
        for one in wanted
    ]


def _addresses(owner: Caller) -> None:
    """A few contacts are reached in several ways."""
    for number, contact in enumerate(owner.items("/v1/contacts", limit=_DEALS)):
        local = f"private{number}@home.example"
        more = {
            "emails": [*contact["emails"], {"type": "personal", "value": local}],
            "phones": [{"type": "mobile", "value": f"+49 151 2345{number:04d}"}],
            "handles": [{"type": "telegram", "value": f"@demo_{number}"}],
        }
        headers = {"If-Match": f'"{contact["version"]}"'}
        owner.call("PATCH", f"/v1/contacts/{contact['id']}", json=more, headers=headers)
