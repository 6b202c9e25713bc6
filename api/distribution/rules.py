"""Rules of distribution. No I/O.

Turns are smooth and weighted: with each choice everybody who can take a deal gains their weight, whoever has gained
most takes it, and pays what all have gained. With equal weights that is a round robin in the order of the members; who
is passed over gains nothing meanwhile, and comes back to an even share rather than to a heap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from uuid_utils.compat import uuid7

from api.db.values import JsonList
from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict

METHODS = ("round_robin", "weighted", "least_busy")


class NoDistributionRule(Conflict):
    """No rule of distribution takes this deal."""

    code = "no_distribution_rule"
    detail = "No active rule of distribution takes deals of this pipeline and source. Name an owner, or make a rule."


@dataclass(frozen=True, kw_only=True)
class Rule(Versioned):
    """One rule. `members` are `{user_id, weight, capacity, time_zone}`, in the order of their turns."""

    name: str
    position: int
    pipeline_id: UUID | None = None
    source_id: UUID | None = None
    method: str
    members: Sequence[Mapping[str, Any]]
    working_hours: Mapping[str, Any] | None = None
    fallback_user_id: UUID | None = None
    is_automatic: bool = False
    is_active: bool = True
    credits: Mapping[str, Any] = field(default_factory=dict)


Change = changes.Change[Rule]


@dataclass(frozen=True)
class Choice:
    """Whom a deal goes to, if to anybody; why; and the members' turns from then on."""

    user_id: UUID | None
    outcome: str
    facts: Mapping[str, Any]
    credits: Mapping[str, Any]


def create(given: Mapping[str, Any], *, now: datetime) -> Change:
    """A new rule."""
    return Change(None, Rule(id=uuid7(), version=1, created_at=now, updated_at=now, **_stored(given)))


def update(rule: Rule, given: Mapping[str, Any], *, now: datetime) -> Change | None:
    """The same rule otherwise; None where nothing differs. Other members or another method begin the turns anew."""
    wanted = {name: value for name, value in _stored(given).items() if getattr(rule, name) != value}
    if not wanted:
        return None
    if wanted.keys() & {"members", "method"}:
        wanted["credits"] = {}
    return Change(rule, revised(rule, now, **wanted))


def choose(rule: Rule, open_deals: Mapping[UUID, int], *, now: datetime, zone: ZoneInfo) -> Choice:
    """Whom a deal goes to. `open_deals` are those of the people who are active; others get nothing."""
    able: list[tuple[int, Mapping[str, Any]]] = []
    passed: list[dict[str, str]] = []
    for place, member in enumerate(rule.members, start=1):
        objection = _objection(rule, member, open_deals, now=now, zone=zone)
        if objection is None:
            able.append((place, member))
        else:
            passed.append({"user_id": member["user_id"], "why": objection})
    shared = {"method": rule.method, "of": len(rule.members), "passed_over": passed}
    if able:
        place, chosen, credits_ = _next(rule, able, open_deals)
        return Choice(UUID(chosen), "assigned", {**shared, "place": place}, credits_)
    fallback = rule.fallback_user_id if rule.fallback_user_id in open_deals else None
    return Choice(fallback, "fallback" if fallback else "queued", shared, rule.credits)


def reason(outcome: str, facts: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Why, in words: `round robin, 3rd of 4; Ann was at capacity`."""
    method = {"round_robin": "round robin", "weighted": "weighted turns", "least_busy": "fewest open deals"}
    begins = {
        "assigned": f"{method[facts['method']]}, {_ordinal(facts.get('place', 0))} of {facts['of']}",
        "fallback": "nobody of the rule could take it, so its fallback did",
        "queued": "nobody of the rule could take it, so it waits for an owner",
    }[outcome]
    why = {"capacity": "was at capacity", "hours": "was off work", "inactive": "is not active"}
    passed = [f"{names.get(one['user_id'], 'somebody')} {why[one['why']]}" for one in facts["passed_over"]]
    return "; ".join([begins, ", ".join(passed)] if passed else [begins])


def _objection(
    rule: Rule, member: Mapping[str, Any], open_deals: Mapping[UUID, int], *, now: datetime, zone: ZoneInfo
) -> str | None:
    """Why a member gets no deal now."""
    user_id = UUID(member["user_id"])
    if user_id not in open_deals:
        return "inactive"
    if rule.working_hours and not _is_at_work(rule.working_hours, member, now=now, zone=zone):
        return "hours"
    capacity = member.get("capacity")
    return "capacity" if capacity is not None and open_deals[user_id] >= capacity else None


def _is_at_work(hours: Mapping[str, Any], member: Mapping[str, Any], *, now: datetime, zone: ZoneInfo) -> bool:
    local = now.astimezone(ZoneInfo(member["time_zone"]) if member.get("time_zone") else zone)
    begins, ends = time.fromisoformat(hours["begins"]), time.fromisoformat(hours["ends"])
    return local.isoweekday() in hours["days"] and begins <= local.time() < ends


def _next(
    rule: Rule, able: Sequence[tuple[int, Mapping[str, Any]]], open_deals: Mapping[UUID, int]
) -> tuple[int, str, Mapping[str, Any]]:
    if rule.method == "least_busy":
        place, chosen = min(able, key=lambda one: (open_deals[UUID(one[1]["user_id"])] / one[1]["weight"], one[0]))
        return place, chosen["user_id"], rule.credits
    weights = {one["user_id"]: one["weight"] if rule.method == "weighted" else 1 for _, one in able}
    gained = {**rule.credits, **{who: rule.credits.get(who, 0) + weight for who, weight in weights.items()}}
    place, chosen = max(able, key=lambda one: (gained[one[1]["user_id"]], -one[0]))
    gained[chosen["user_id"]] -= sum(weights.values())
    return place, chosen["user_id"], gained


def _stored(given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given)
    if "members" in values:
        values["members"] = JsonList(values["members"])
    return values


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
