"""What a condition looks at: a record as its events made it, up to one of them. Pure, and cheap by the million.

A deal's present stage, owner and amount are those that came last in the order of when they were true, as everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID


class Fact(NamedTuple):
    """An event of the log, as far as rules look at it."""

    id: UUID
    type: str
    aggregate_type: str
    aggregate_id: UUID
    aggregate_version: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    actor_id: UUID | None
    depth: int
    correlation_id: UUID
    data: Mapping[str, Any]


_ENTRIES = ("deal.created", "deal.stage.changed", "deal.closed", "deal.reopened")
_STATUS = {"deal.created": "open", "deal.stage.changed": "open", "deal.reopened": "open"}
_CREATED = {"owner_id", "amount_minor", "currency", "company_id", "contact_id", "source_id", "close_date"}
_SIMPLE = {
    "deal.amount.changed": ("amount_minor", "currency"),
    "deal.owner.changed": ("owner_id",),
    "deal.close_date.changed": ("close_date",),
    "deal.updated": ("company_id", "contact_id", "source_id"),
}
#: Decimals of currencies that have not two (ISO 4217).
_NO_DECIMALS = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF")
_DIGITS = {
    **dict.fromkeys((*_NO_DECIMALS, "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
#: Who acts by himself: what he does is no sign of life of a deal.
_MACHINES = ("rule", "score")


@dataclass
class Subject:
    """A record, as of the newest fact that it was told."""

    type: str
    id: UUID
    values: dict[str, Any] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    score_model: str | None = None
    created_at: datetime | None = None
    stage_entered_at: datetime | None = None
    active_at: datetime | None = None  # when a person, or the outside, last did something about it
    stage_changes: int = 0
    times: dict[str, int] = field(default_factory=dict)  # how often each type of event told of it
    is_deleted: bool = False
    #: By type of event: who said it last and when, and the rules that ever did.
    said_by: dict[str, tuple[str, UUID | None, datetime]] = field(default_factory=dict)
    rules: dict[str, set[UUID]] = field(default_factory=dict)
    _at: dict[str, datetime] = field(default_factory=dict)

    @property
    def is_open_deal(self) -> bool:
        """Whether it is a deal that is neither won, lost nor deleted."""
        return self.type == "deal" and not self.is_deleted and self.values.get("status") == "open"

    def learn(self, fact: Fact) -> None:
        """Take in the next event of the record, or one that names it."""
        if fact.actor not in _MACHINES and not fact.type.startswith(("automation.", "trigger.")):
            self.active_at = max(self.active_at or fact.occurred_at, fact.occurred_at)
        self.times[fact.type] = self.times.get(fact.type, 0) + 1
        if fact.aggregate_id != self.id:
            self._learn_of(fact)
            return
        self.said_by[fact.type] = (fact.actor, fact.actor_id, fact.recorded_at)
        if fact.actor == "rule" and fact.actor_id is not None:
            self.rules.setdefault(fact.type, set()).add(fact.actor_id)
        if fact.type.endswith((".deleted", ".restored")):
            self.is_deleted = fact.type.endswith(".deleted")
        self.created_at = self.created_at or fact.occurred_at
        if self.type == "deal":
            self._learn_deal(fact)
        else:
            self.values.update(fact.data)

    def _learn_of(self, fact: Fact) -> None:
        if fact.type == "lead.scored" and fact.data.get("score") is not None:
            self.scores.append(float(fact.data["score"]))
            number = fact.data.get("model_number")
            self.score_model = None if number is None else str(number)

    def _learn_deal(self, fact: Fact) -> None:
        if fact.type in _ENTRIES and self._is_newest("stage", fact.occurred_at):
            to_stage = fact.data["to_stage_id"]
            if self.values.get("stage_id") != to_stage:
                self.stage_entered_at = fact.occurred_at
                self.stage_changes += "stage_id" in self.values
            self.values.update(
                stage_id=to_stage,
                pipeline_id=fact.data["pipeline_id"],
                status=_STATUS.get(fact.type) or fact.data["outcome"],
            )
        names = _CREATED if fact.type == "deal.created" else _SIMPLE.get(fact.type, ())
        if names and self._is_newest(fact.type if fact.type in _SIMPLE else "created", fact.occurred_at):
            self.values.update({name: fact.data.get(name) for name in names})
        if fact.type == "deal.custom.changed":
            self.values["custom"] = fact.data["custom"]  # all there are; a value that was taken out is not

    def _is_newest(self, line: str, at: datetime) -> bool:
        if line in self._at and at < self._at[line]:
            return False
        self._at[line] = at
        return True

    def is_ahead_of(self, fact: Fact) -> bool:
        """Whether an event tells of a stage that the deal had left by then, as far as was known before."""
        return fact.type in _ENTRIES and fact.occurred_at < self._at.get("stage", fact.occurred_at)

    def variables(self, now: datetime) -> dict[str, Any]:
        """What conditions call it."""
        shown = dict(self.values)
        if self.type == "deal":
            minor = shown.get("amount_minor")
            shown |= {
                "amount": None if minor is None else minor / 10 ** _DIGITS.get(shown.get("currency", ""), 2),
                "score": self.scores[-1] if self.scores else None,
                "days_in_stage": _days(self.stage_entered_at, now),
                "days_idle": _days(self.active_at, now),
                "stage_changes": self.stage_changes,
                "custom": shown.get("custom", {}),
            }
        elif self.type == "contact":
            shown["score"] = self.scores[-1] if self.scores else None
        shown["age_days"] = _days(self.created_at, now)
        shown["times"] = self.times
        return shown

    def is_held(self, rule_id: UUID, touches: tuple[str, ...], *, at: datetime, days: float) -> bool:
        """Whether a person had the last word on something that this rule had said before."""
        said = [self.said_by[kind] for kind in touches if kind in self.said_by]
        if not said or not any(rule_id in self.rules.get(kind, ()) for kind in touches):
            return False
        actor, _, when = max(said, key=lambda one: one[2])
        return actor in ("user", "api_key") and at - when < timedelta(days=days)


def _days(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else (now - since).total_seconds() / 86_400
