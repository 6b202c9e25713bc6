"""A firing: whether the rule may act now, its actions, what is told of them. All of it in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.db.pipeline import Row
from api.kernel.actions import Acting, Decision
from api.kernel.errors import CrmError
from api.kernel.unit_of_work import UnitOfWork
from api.rules import records, rules
from api.rules.document import Mode
from api.rules.facts import Fact
from api.rules.matching import Firing, is_cooling
from contracts.events.automation import RuleTriggered, TriggerExecuted
from contracts.events.envelope import ActorKind

#: How long a chain of causes may be.
DEEPEST = 8
#: More firings of a rule than ever happen at the same time.
_AT_ONCE = 50

#: Why a rule was turned off, in words.
_LOOPS = {
    "loop_depth": f"it was about to act on the {DEEPEST + 1}th event in a row that rules brought about",
    "loop_self": "what it did set it off again",
}


@dataclass(frozen=True)
class Outcome:
    """What came of a firing."""

    code: str
    detail: str | None = None
    decisions: Sequence[tuple[str, Decision]] = ()

    @property
    def actions(self) -> list[dict[str, Any]]:
        """What was done, for the log."""
        return [
            {"do": do, "before": dict(decision.before), "after": dict(decision.after)}
            for do, decision in self.decisions
        ]


async def fire(unit: UnitOfWork, firing: Firing, *, later: Sequence[Fact]) -> str | None:
    """Let a rule act, once; what came of it, or None where it has fired on this before.

    `later` are the record's events since what the rule saw: of another's, they may have made the action stale.
    """
    rule, run_id = firing.rule, uuid7()
    standing = await _standing(unit, firing)
    if not await records.claim_run(unit, run_id, _as_run(firing)):
        return None
    acting = _acting(unit, firing)
    outcome = _objection(firing, standing, later) or await _act(acting, firing)
    cause_id = _tell(unit, firing, run_id, outcome)
    if outcome.code == "done":
        unit.act_as(ActorKind.RULE, rule.rule_id, causation_id=cause_id)
        for write in acting.writes:
            write()
    records.finish_run(
        unit, run_id, outcome=outcome.code, detail=outcome.detail, actions=outcome.actions, cause_id=cause_id
    )
    if outcome.code in _LOOPS:
        await _turn_off(unit, firing, outcome.code)
    return outcome.code


async def _standing(unit: UnitOfWork, firing: Firing) -> Row:
    """How the rule stands. Near its quota firings go one by one, or several at once would all be the last."""
    ids = {"rule_id": firing.rule.rule_id, "subject_id": firing.subject.id}
    [standing] = await unit.fetch(records.STANDING, **ids)
    if standing.fired_this_hour + _AT_ONCE >= firing.rule.document.most_per_hour:
        unit.execute(records.ONE_BY_ONE, rule_id=firing.rule.rule_id)
        await unit.send()  # what the lock waited for is seen by the next statement
        [standing] = await unit.fetch(records.STANDING, **ids)
    return standing


def _objection(firing: Firing, standing: Row, later: Sequence[Fact]) -> Outcome | None:
    """Why a rule may not act, if there is something."""
    rule, fact, at = firing.rule, firing.fact, firing.at
    if standing.is_deleted or (standing.mode == Mode.OFF and standing.version > rule.version):
        return Outcome("skipped_off", "The rule was turned off since.")
    if fact is not None and fact.depth >= DEEPEST:
        return Outcome("loop_depth", f"The event is the {fact.depth}th in a row that rules brought about.")
    if is_cooling(rule, at, lambda: standing.last_fired_at):
        return Outcome("skipped_cool_down", f"It last fired on this record at {standing.last_fired_at.isoformat()}.")
    if standing.fired_this_hour >= rule.document.most_per_hour:
        return Outcome("skipped_quota", f"It fired {standing.fired_this_hour} times within the hour.")
    touches = tuple({kind for action in rule.document.actions for kind in action.kind.touches})
    if firing.subject.is_held(rule.rule_id, touches, at=at, days=rule.document.hold_days):
        return Outcome("skipped_override", "A person undid what the rule did, and their word holds.")
    if stale := _stale(firing, touches, later):
        return Outcome("skipped_stale", f"{stale.type} came after what the rule saw.")
    if fact is not None and touches and firing.subject.is_ahead_of(fact):
        return Outcome("skipped_stale", "The event tells of a stage that the deal has left.")
    return None


def _stale(firing: Firing, touches: Sequence[str], later: Sequence[Fact]) -> Fact | None:
    """A later event by somebody else about what the rule would change, or about what set it off."""
    watched = {*touches, "deal.deleted"}
    if firing.fact is not None and firing.fact.aggregate_id == firing.subject.id and touches:
        watched.add(firing.fact.type)
    return next((one for one in later if one.type in watched and not _is_own(one, firing)), None)


def _is_own(later: Fact, firing: Firing) -> bool:
    """Whether another rule did this because of the same event, or the rule's own chain."""
    return later.actor == "rule" and firing.fact is not None and later.correlation_id == firing.fact.correlation_id


async def _act(acting: Acting, firing: Firing) -> Outcome:
    rule, decisions = firing.rule, list[tuple[str, Decision]]()
    if rule.mode is Mode.DRY_RUN:
        return Outcome("would", None, [(action.do, Decision({}, action.with_)) for action in rule.document.actions])
    try:
        for action in rule.document.actions:
            kind = action.kind
            if kind.subjects and acting.subject_type not in kind.subjects:
                continue
            decisions.append((action.do, await kind.decide(acting, action.parameters)))
    except CrmError as error:
        return Outcome("failed", f"{action.do}: {error}")
    if rule.mode is Mode.SHADOW:
        return Outcome("would", None, decisions)
    if not any(decision.is_change for _, decision in decisions):
        return Outcome("no_change", None, decisions)
    fact = firing.fact
    if fact is not None and fact.actor == "rule" and fact.actor_id == rule.rule_id:
        return Outcome("loop_self", "The rule set itself off.", decisions)
    return Outcome("done", None, decisions)


def _tell(unit: UnitOfWork, firing: Firing, run_id: UUID, outcome: Outcome) -> UUID | None:
    """The events of the firing; the id of the one that the rule's deeds name as their cause."""
    rule, subject = firing.rule, firing.subject
    if rule.mode is Mode.DRY_RUN:
        return None
    shared: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "rule_version": rule.version,
        "mode": rule.mode,
        "subject_type": subject.type,
        "subject_id": subject.id,
        "deal_id": subject.id if subject.type == "deal" else None,
    }
    unit.act_as(ActorKind.RULE, rule.rule_id)
    triggered = RuleTriggered(
        **shared,
        trigger=rule.document.trigger.kind,
        event_id=firing.fact.id if firing.fact else None,
        score=firing.score,
        score_model=subject.score_model,
    )
    cause_id = unit.emit(triggered, aggregate_id=run_id, aggregate_version=1, occurred_at=firing.at)
    executed = TriggerExecuted(
        **shared,
        outcome=outcome.code,
        actions=[do for do, _ in outcome.decisions],
        from_stage_id=_named(outcome, "before"),
        to_stage_id=_named(outcome, "after"),
    )
    unit.emit(executed, aggregate_id=run_id, aggregate_version=2)
    return cause_id


def _named(outcome: Outcome, side: str) -> UUID | None:
    found = (getattr(decision, side).get("stage_id") for _, decision in outcome.decisions)
    return next((one for one in found if one is not None), None)


async def _turn_off(unit: UnitOfWork, firing: Firing, code: str) -> None:
    rule = await records.lock_rule(unit, firing.rule.rule_id)
    change = rules.disable(rule, code, now=unit.now)
    if change is None:
        return
    records.write(unit, [change])
    if rule.owner_id is not None:
        message = f"The rule “{rule.name}” was turned off: {_LOOPS[code]}."
        records.notify(unit, rule.owner_id, message, rule_id=rule.id, subject=(firing.subject.type, firing.subject.id))


def _acting(unit: UnitOfWork, firing: Firing) -> Acting:
    rule = firing.rule
    facts: Mapping[str, Any] = firing.subject.values
    return Acting(unit, rule.rule_id, rule.name, rule.owner_id, firing.subject.type, firing.subject.id, facts)


def _as_run(firing: Firing) -> dict[str, Any]:
    rule, subject = firing.rule, firing.subject
    return {
        "rule_id": rule.rule_id,
        "rule_version": rule.version,
        "key": firing.key,
        "mode": rule.mode,
        "subject_type": subject.type,
        "subject_id": subject.id,
        "event_id": firing.fact.id if firing.fact else None,
        "fired_at": firing.at,
        "facts": dict(firing.facts),
        "score": firing.score,
        "score_model": subject.score_model,
    }
