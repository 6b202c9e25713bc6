"""What the marts of deals must say, by replaying the events in plain Python: no SQL, no windows, one deal at a time."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.events.deals import (
    DealAmountChanged,
    DealClosed,
    DealCloseDateChanged,
    DealCreated,
    DealOwnerChanged,
    DealUpdated,
)
from tests.event_history import AnyEvent, is_gone

Row = dict[str, Any]

_STATE = (
    "pipeline_id",
    "amount_minor",
    "currency",
    "owner_id",
    "company_id",
    "contact_id",
    "source_id",
    "close_date",
)


@dataclass
class KnownDeals:
    """The marts of deals as of an instant, without their intervals of knowledge."""

    entries: list[Row]
    versions: list[Row]
    deals: list[Row]


def replay(events: Iterable[AnyEvent], *, known_at: datetime) -> KnownDeals:
    """Replay what was recorded until an instant, each deal in the order in which its facts were true."""
    histories: dict[UUID, list[AnyEvent]] = defaultdict(list)
    for event in events:
        if event.aggregate_type == "deal" and event.known_before(known_at):
            histories[event.aggregate_id].append(event)
    known = KnownDeals([], [], [])
    for deal_id, history in histories.items():
        kinds = {type(event.data) for event in history}
        if DealCreated not in kinds or is_gone(history):
            continue
        history.sort(key=lambda event: (event.occurred_at, event.aggregate_version))
        keys = {"organization_id": history[0].organization_id, "deal_id": deal_id}
        entries, versions = _entries(history), _versions(history)
        known.entries += [keys | entry for entry in entries]
        known.versions += [keys | version for version in versions]
        known.deals.append(keys | _deal(entries, versions))
    return known


def _entries(history: list[AnyEvent]) -> list[Row]:
    entries: list[Row] = []
    for event in history:
        stage_id = getattr(event.data, "to_stage_id", None)
        if stage_id is None or (entries and entries[-1]["stage_id"] == stage_id):
            continue
        before = entries[-1] if entries else None
        status = event.data.outcome.value if isinstance(event.data, DealClosed) else "open"
        entry = {
            "entry_number": len(entries) + 1,
            "event_id": event.id,
            "pipeline_id": getattr(event.data, "pipeline_id", None),
            "stage_id": stage_id,
            "from_stage_id": before["stage_id"] if before else None,
            "cause": _cause(status, before["status"] if before else None),
            "status": status,
            "actor": event.actor.value,
            "actor_id": event.actor_id,
            "entered_at": event.occurred_at,
            "left_at": None,
            "next_stage_id": None,
            "closed_at": None if status == "open" else event.occurred_at,
            "lost_reason_id": getattr(event.data, "lost_reason_id", None),
        }
        if before:
            before |= {"left_at": entry["entered_at"], "next_stage_id": entry["stage_id"]}
        if before and before["status"] == status:
            entry |= {name: before[name] for name in ("closed_at", "lost_reason_id")}
        entries.append(entry)
    return entries


def _cause(status: str, before: str | None) -> str:
    """Why a deal entered a stage, by what it then was and was before."""
    if before is None:
        return "created"
    if status == before:
        return "moved"
    return "reopened" if status == "open" else status


def _versions(history: list[AnyEvent]) -> list[Row]:
    versions: list[Row] = []
    state: Row | None = None
    for event in history:
        state = _changed(state, event)
        if state is None:
            continue
        if versions and versions[-1]["valid_from"] == event.occurred_at:
            versions.pop()
        if not versions or {name: versions[-1][name] for name in _STATE} != state:
            versions.append(state | {"valid_from": event.occurred_at})
    for number, version in enumerate(versions, start=1):
        later = versions[number]["valid_from"] if number < len(versions) else None
        version |= {"version_number": number, "valid_to": later}
    return versions


def _changed(state: Row | None, event: AnyEvent) -> Row | None:
    data = event.data
    if isinstance(data, DealCreated):
        return {name: getattr(data, name) for name in _STATE}
    if state is None:
        return None
    if isinstance(data, DealAmountChanged | DealOwnerChanged | DealCloseDateChanged | DealUpdated):
        return state | {name: value for name, value in data.model_dump().items() if name in _STATE}
    return state


def _deal(entries: list[Row], versions: list[Row]) -> Row:
    created = next(entry for entry in entries if entry["cause"] == "created")
    last = entries[-1]
    closed_at = last["closed_at"]
    at_closing = _version_at(versions, closed_at) if closed_at else {}
    present = {name: versions[-1][name] for name in _STATE}
    return present | {
        "created_at": created["entered_at"],
        "created_stage_id": created["stage_id"],
        "creation_owner_id": _version_at(versions, created["entered_at"])["owner_id"],
        "stage_id": last["stage_id"],
        "stage_entered_at": last["entered_at"],
        "status": last["status"],
        "closed_at": closed_at,
        "closing_owner_id": at_closing.get("owner_id"),
        "closing_amount_minor": at_closing.get("amount_minor"),
        "lost_reason_id": last["lost_reason_id"],
        "stage_path": " ".join(_step(entry) for entry in entries),
        "stages_entered_at": tuple(entry["entered_at"] for entry in entries),
    }


def _step(entry: Row) -> str:
    return f"{entry['stage_id']}:{entry['lost_reason_id']}" if entry["lost_reason_id"] else str(entry["stage_id"])


def _version_at(versions: list[Row], instant: datetime) -> Row:
    return next(
        version
        for version in reversed(versions)
        if version["valid_from"] <= instant and (version["valid_to"] is None or version["valid_to"] > instant)
    )
