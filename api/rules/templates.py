"""Rules to begin with: the usual dozen and a few. Where a value is an example, `fill_in` says so."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from api.rules.document import EXAMPLE_ID


class Template(NamedTuple):
    """A rule to begin with. `fill_in` says which values are examples."""

    key: str
    name: str
    about: str
    document: Mapping[str, Any]
    fill_in: tuple[str, ...] = ()


_ANY_ID = str(EXAMPLE_ID)


def _task(title: str, *, days: float = 1.0, assignee: str = "owner") -> dict[str, Any]:
    return {"do": "task.create", "with": {"title": title, "due_in_days": days, "assignee": assignee}}


def _tell(text: str, *, to: str = "owner") -> dict[str, Any]:
    return {"do": "notify", "with": {"text": text, "to": to}}


def _on(event: str) -> dict[str, Any]:
    return {"kind": "event", "event": event}


TEMPLATES = (
    Template(
        "stalled_deal", "Stalled deal", "A deal that stands in its stage for two weeks gets a task.",
        {"trigger": {"kind": "time_in_stage", "days": 14}, "actions": [_task("Move this deal on, or close it")]},
    ),
    Template(
        "speed_to_lead", "Speed to lead", "A new deal is called within the hour.",
        {"trigger": _on("deal.created"), "actions": [_task("Call the new lead", days=0.04), _tell("A new lead waits")]},
    ),
    Template(
        "share_out", "Share out new leads", "A new deal nobody owns goes to whoever has the fewest open ones.",
        {
            "trigger": _on("deal.created"), "when": "deal.owner_id == null",
            "actions": [{"do": "deal.assign", "with": {"user_ids": [_ANY_ID]}}],
        },
        ("actions[0].with.user_ids",),
    ),
    Template(
        "high_score", "High score to a senior rep", "A deal whose score reaches 0.7 goes to an experienced person.",
        {
            "trigger": {"kind": "score", "above": 0.7, "hysteresis": 0.1}, "when": 'deal.status == "open"',
            "actions": [{"do": "deal.assign", "with": {"user_id": _ANY_ID}}, _tell("A hot deal is yours now")],
            "cool_down_hours": 168,
        },
        ("actions[0].with.user_id",),
    ),
    Template(
        "hot_lead", "Call a hot lead", "A contact whose chance to become a deal reaches 0.5 is called today.",
        {
            "trigger": {"kind": "score", "subject": "contact", "above": 0.5, "hysteresis": 0.1},
            "actions": [_task("Call this lead today"), _tell("A lead is hot")], "cool_down_hours": 168,
        },
    ),
    Template(
        "lost_after_silence", "Lost after silence", "A deal of which nobody heard for 60 days is lost.",
        {
            "trigger": {"kind": "no_activity", "days": 60},
            "actions": [{"do": "deal.move", "with": {"stage_id": _ANY_ID, "reason": "No answer"}}],
        },
        ("actions[0].with.stage_id",),
    ),
    Template(
        "reopen_on_reply", "Reopen on reply", "A lost deal whose customer writes again is open again.",
        {
            "trigger": _on("message.received"), "when": 'deal.status == "lost"',
            "actions": [{"do": "deal.reopen", "with": {}}, _tell("The customer of a lost deal has written")],
        },
    ),
    Template(
        "draft_reply", "Draft a reply", "Who writes gets a reply drafted, for the owner to read, change and send.",
        {
            "trigger": _on("message.received"), "when": 'deal.status == "open"',
            "actions": [{"do": "draft.request", "with": {"kind": "reply"}}], "cool_down_hours": 1,
        },
    ),
    Template(
        "remind_after_silence", "Remind after silence", "A deal of which nobody heard for a week gets a task.",
        {"trigger": {"kind": "no_activity", "days": 7}, "actions": [_task("Get in touch again")]},
    ),
    Template(
        "big_deal", "Tell of a big deal", "The rule's owner hears of every new deal above an amount.",
        {
            "trigger": _on("deal.created"), "when": "deal.amount >= 50000.0",
            "actions": [_tell("A big deal has come in", to="rule_owner")],
        },
    ),
    Template(
        "amount_cut", "Amount cut", "The rule's owner hears when a deal late in the pipeline loses its amount.",
        {
            "trigger": _on("deal.amount.changed"), "when": "deal.stage_changes >= 2 && deal.amount < 1000.0",
            "actions": [_tell("A deal was cut down", to="rule_owner")],
        },
    ),
    Template(
        "handover", "Handover after a win", "A deal that is won gets a task to hand it over.",
        {
            "trigger": _on("deal.closed"), "when": 'event.outcome == "won"',
            "actions": [_task("Hand over to the delivery team", days=2)],
        },
    ),
    Template(
        "win_back", "Win back", "A lost deal comes up again after three months.",
        {
            "trigger": _on("deal.closed"), "when": 'event.outcome == "lost"',
            "actions": [_task("Ask whether the time is right now", days=90)],
        },
    ),
    Template(
        "overdue_close_date", "Close date passed", "Every working day, overdue deals are pointed out.",
        {
            "trigger": {"kind": "schedule", "at": "08:00", "weekdays": [1, 2, 3, 4, 5]},
            "when": "deal.close_date != null && timestamp(deal.close_date + 'T23:59:59Z') < now",
            "actions": [_tell("This deal should be closed by now: set a new date")], "cool_down_hours": 160,
        },
    ),
    Template(
        "new_owner", "Welcome a new owner", "Who is given a deal by another introduces themselves.",
        {
            "trigger": _on("deal.owner.changed"), "when": "deal.owner_id != null && event.actor_id != deal.owner_id",
            "actions": [_task("Introduce yourself")],
        },
    ),
)  # fmt: skip
