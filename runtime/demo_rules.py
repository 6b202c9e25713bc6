"""The demo's rules, made of templates: one that acts, one that only says what it would do. Safe to run again."""

from typing import cast

from contracts.calls import rules, users
from contracts.calls.schemas import Action, Document, Mode
from runtime.demo_records import Caller

#: Template, mode, and what is said otherwise than there.
_RULES: tuple[tuple[str, Mode, dict[str, object]], ...] = (
    ("speed_to_lead", "live", {"when": 'deal.source == "Website"'}),
    ("handover", "live", {}),
    ("high_score", "shadow", {"trigger": {"kind": "score", "above": 0.5, "hysteresis": 0.1}}),
    ("stalled_deal", "dry_run", {}),
)


def add(owner: Caller) -> None:
    """Add them, where there is none."""
    if owner.ask(rules.list_rules())["items"]:
        return
    templates = {one["key"]: one for one in owner.ask(rules.list_rule_templates())}
    senior = owner.ask(users.list_users(is_active=True))["items"][0]["id"]
    for key, mode, changes in _RULES:
        template = templates[key]
        document = cast("Document", {**template["document"], **changes})
        if key == "high_score":
            assign: Action = {"do": "deal.assign", "with": {"user_id": senior}}
            document["actions"] = [assign, *document["actions"][1:]]
        owner.ask(rules.create_rule({"name": template["name"], "mode": mode, "document": document}))
