"""What the conditions of rules may name: the record that a rule looks at, and the event that set it off."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.kernel import conditions
from api.rules import figures
from api.rules.document import EVENT_TYPES, Document, OnEvent, newest_of, subjects_of
from contracts.events.registry import EVENTS

#: Fields of a deal, and a value of each for trying a condition.
DEAL_FIELDS: Mapping[str, Any] = {
    "id": "", "pipeline_id": "", "stage_id": "", "stage": "", "status": "open", "amount": 1.5, "amount_minor": 150,
    "currency": "EUR", "owner_id": "", "company_id": "", "contact_id": "", "source_id": "", "source": "",
    "close_date": "2026-01-31", "score": 0.5, "days_in_stage": 1.5, "days_idle": 1.5, "age_days": 1.5,
    "stage_changes": 1, "custom": {}, "times": dict.fromkeys(EVENT_TYPES, 1),
}  # fmt: skip

#: A custom field of the deal, outside quotes: what stands in quotes is found first, and is none.
_CUSTOM = re.compile(
    r"""(?<![\w.])deal\s*\.\s*custom\s*(?:\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\]|\.\s*(\w+))"""
    r"""|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
)


def names_custom_fields(document: Document) -> bool:
    """Whether the condition has to do with custom fields, so that `check` wants to know those that there are."""
    return "custom" in document.when


def declared(document: Document) -> dict[str, Mapping[str, Any]]:
    """What the condition of a rule may name: fields by root, with a value of each."""
    roots: dict[str, Mapping[str, Any]] = {}
    for subject in subjects_of(document.trigger):
        roots[subject] = DEAL_FIELDS if subject == "deal" else _fields_of(subject)
    event: dict[str, Any] = {"type": "", "actor": "", "actor_id": "", "depth": 0}
    if isinstance(document.trigger, OnEvent):
        event |= _event_fields(document.trigger.event)
    metric = {"metric": dict.fromkeys(document.metrics, 0.5)} if document.metrics else {}
    return roots | {"event": event} | metric


def check(document: Document, *, now: datetime, custom: Mapping[str, Any] | None = None) -> None:
    """Refuse a condition that cannot be used; `custom` has a value of each custom field of deals, where they are known.

    Raises:
        BadCondition: it says what and where.
    """
    for name, figure in document.metrics.items():
        if (problem := figures.problem_with(figure, now=now)) is not None:
            raise conditions.BadCondition(problem, pointer=f"/document/metrics/{name}")
    roots = declared(document)
    if custom is not None and "deal" in roots:
        for name in sorted(_custom_names(document.when) - custom.keys()):
            known = ", ".join(sorted(custom)) or "none"
            raise conditions.BadCondition(f"rules see no custom field {name!r} of deals; there are {known}.")
        roots["deal"] = {**DEAL_FIELDS, "custom": custom}
    conditions.check(document.when, roots, now=now)


def _custom_names(condition: str) -> set[str]:
    return {name for names in _CUSTOM.findall(condition) for name in names if name}


def _event_fields(event_type: str) -> dict[str, Any]:
    schema = newest_of(event_type).model_json_schema()
    return {name: _sample(part) for name, part in schema.get("properties", {}).items()}


def _fields_of(subject: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": "", "age_days": 1.5, "times": dict.fromkeys(EVENT_TYPES, 1)} | (
        {"score": 0.5} if subject == "contact" else {}
    )
    for (name, version), kind in EVENTS.items():
        if kind.aggregate_type == subject and version == 1:
            fields |= _event_fields(name)
    return fields


_SAMPLES: Mapping[str, Any] = {"integer": 1, "number": 0.5, "boolean": True, "array": [], "object": {}}


def _sample(part: Mapping[str, Any]) -> Any:  # noqa: ANN401 # any JSON
    kinds = [part, *part.get("anyOf", ())]
    return next((_SAMPLES[one["type"]] for one in kinds if one.get("type") in _SAMPLES), "")
