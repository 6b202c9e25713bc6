"""What rules can do that concerns no record: tell a person, call an address."""

from typing import Literal
from uuid import UUID

from pydantic import Field, HttpUrl

from api.kernel.actions import Acting, ActionKind, ActionParameters, Decision
from api.rules import records


class Notify(ActionParameters):
    """A line to the record's owner, the rule's owner or a person."""

    text: str = Field(min_length=1, max_length=500)
    to: UUID | Literal["owner", "rule_owner"] = "owner"


class Call(ActionParameters):
    """A POST of what fired, with ids and facts, to an address that can be reached from the internet."""

    url: HttpUrl


async def _notify(acting: Acting, message: Notify) -> Decision:
    owner_id = acting.facts.get("owner_id") or acting.owner_id
    user_id = {"owner": owner_id, "rule_owner": acting.owner_id}.get(str(message.to), message.to)
    if user_id is None:
        return Decision()
    told = UUID(str(user_id))
    subject = (acting.subject_type, acting.subject_id)
    acting.writes.append(
        lambda: records.notify(acting.unit, told, message.text, rule_id=acting.rule_id, subject=subject)
    )
    return Decision({}, {"notified": told})


async def _call(acting: Acting, call: Call) -> Decision:
    body = {
        "type": "rule.triggered",
        "rule_id": acting.rule_id,
        "rule": acting.rule_name,
        "subject_type": acting.subject_type,
        "subject_id": acting.subject_id,
        "at": acting.unit.now,
    }
    acting.writes.append(lambda: records.call(acting.unit, acting.rule_id, str(call.url), body))
    return Decision({}, {"called": str(call.url)})


ACTIONS = (
    ActionKind("notify", "Tell a person", Notify, _notify),
    ActionKind("webhook", "Call an address", Call, _call),
)
