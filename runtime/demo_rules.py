"""The demo's rules, made of templates: one that acts, one that only says what it would do. Safe to run again."""

from typing import Any

from runtime.demo_records import Caller

#: Template, mode, and what is said otherwise than there.
_RULES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("speed_to_lead", "live", {"when": 'deal.source == "Website"'}),
    ("handover", "live", {}),
    ("high_score", "shadow", {"trigger": {"kind": "score", "above": 0.5, "hysteresis": 0.1}}),
    ("stalled_deal", "dry_run", {}),
)


def add(owner: Caller) -> None:
    """Add them, where there is none."""
    if owner.items("/v1/rules"):
        return
    listed: Any = owner.call("GET", "/v1/rules/templates")
    templates = {one["key"]: one for one in listed}
    senior = next(user["id"] for user in owner.items("/v1/users", limit=100) if user["is_active"])
    for key, mode, changes in _RULES:
        template = templates[key]
        document = {**template["document"], **changes}
        if key == "high_score":
            assign = {"do": "deal.assign", "with": {"user_id": senior}}
            document["actions"] = [assign, *document["actions"][1:]]
        owner.call("POST", "/v1/rules", json={"name": template["name"], "mode": mode, "document": document})
