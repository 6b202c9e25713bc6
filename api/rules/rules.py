"""Rules of rules. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.rules.document import Document, Mode, OnEvent
from contracts.events.automation import RuleCreated, RuleUpdated


@dataclass(frozen=True, kw_only=True)
class Rule(Versioned):
    """One rule, as it stands."""

    name: str
    mode: Mode
    is_timed: bool
    document: dict[str, Any]
    owner_id: UUID | None
    disabled_because: str | None = None
    deleted_at: datetime | None = None


Change = changes.Change[Rule]


def create(name: str, mode: Mode, document: Document, *, owner_id: UUID | None, now: datetime) -> Change:
    """A new rule."""
    rule = Rule(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        name=name,
        mode=mode,
        is_timed=document.is_timed,
        document=written(document),
        owner_id=owner_id,
    )
    return Change(None, rule, RuleCreated(**_facts(rule)))


def update(rule: Rule, given: Mapping[str, Any], *, now: datetime) -> Change | None:
    """The rule with another name, mode, owner or document; None where nothing differs. Turned on, it is as new."""
    wanted = {name: value for name, value in given.items() if getattr(rule, name) != value}
    if not wanted:
        return None
    if "document" in wanted:
        wanted["is_timed"] = Document.model_validate(wanted["document"]).is_timed
    if wanted.get("mode", rule.mode) is not Mode.OFF:
        wanted["disabled_because"] = None
    return _updated(rule, revised(rule, max(now, rule.updated_at), **wanted), sorted(given.keys() & wanted.keys()))


def disable(rule: Rule, because: str, *, now: datetime) -> Change | None:
    """Turned off by the machine, which says why; None where it is off."""
    if rule.mode is Mode.OFF:
        return None
    return _updated(rule, revised(rule, now, mode=Mode.OFF, disabled_because=because), ["mode"])


def delete(rule: Rule, *, now: datetime) -> Change:
    """Gone from the list; what it did stays in the log."""
    return _updated(rule, revised(rule, now, mode=Mode.OFF, deleted_at=now), ["deleted_at"])


def written(document: Document) -> dict[str, Any]:
    """A document as it is stored and shown."""
    return document.model_dump(mode="json", by_alias=True)


def _updated(before: Rule, after: Rule, names: list[str]) -> Change:
    event = RuleUpdated(**_facts(after), changed_fields=names, disabled_because=after.disabled_because)
    return Change(before, after, event)


def _facts(rule: Rule) -> dict[str, Any]:
    document = Document.model_validate(rule.document)
    trigger = document.trigger
    return {
        "owner_id": rule.owner_id,
        "mode": rule.mode,
        "trigger": trigger.kind,
        "trigger_event": trigger.event if isinstance(trigger, OnEvent) else None,
        "actions": [action.do for action in document.actions],
    }
