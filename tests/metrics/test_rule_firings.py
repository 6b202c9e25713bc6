"""What rules did, counted by hand: from events through the mart that dbt builds to the answers."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from contracts.events.automation import RuleCreated, RuleTriggered, TriggerExecuted
from contracts.events.deals import DealClosed, DealStageChanged
from contracts.stages import Outcome
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told


def _tell(log: EventLog) -> list[UUID]:
    ada = log.user()
    pipeline, first, second, won = (log.new_id() for _ in range(4))
    rules = [log.new_id(), log.new_id()]
    state = {"owner_id": ada, "mode": "live", "trigger": "event", "trigger_event": "deal.created"}
    for rule in rules:
        log.add(RuleCreated(**state, actions=["deal.move"]), rule, at=BEGINNING)
    deals = [log.new_id() for _ in range(4)]

    def fire(rule: Any, deal: Any, day: float, outcome: str) -> None:
        run, at = log.new_id(), BEGINNING + days(day)
        shared: dict[str, Any] = {
            "rule_id": rule,
            "rule_version": 1,
            "mode": "live",
            "subject_type": "deal",
            "subject_id": deal,
        }
        shared |= {"deal_id": deal}
        log.add(RuleTriggered(**shared, trigger="event", event_id=None, score=None, score_model=None), run, at=at)
        moved = outcome == "done"
        stages: dict[str, Any] = {
            "from_stage_id": first if moved else None,
            "to_stage_id": second if moved else None,
        }
        log.add(TriggerExecuted(**shared, outcome=outcome, actions=["deal.move"], **stages), run, at=at)

    fire(rules[0], deals[0], 1, "done")
    fire(rules[0], deals[1], 1, "done")
    fire(rules[0], deals[2], 2, "skipped_stale")
    fire(rules[1], deals[3], 2, "done")
    back = {"pipeline_id": pipeline, "from_stage_id": second, "to_stage_id": first}
    log.add(DealStageChanged(**back), deals[0], at=BEGINNING + days(3))  # a person takes it back
    log.add(DealStageChanged(**back), deals[3], at=BEGINNING + days(20))  # too late to be about the rule
    end = {"pipeline_id": pipeline, "from_stage_id": second, "to_stage_id": won, "lost_reason_id": None}
    log.add(DealClosed(**end, outcome=Outcome.WON), deals[1], at=BEGINNING + days(5))
    log.add(DealClosed(**end, outcome=Outcome.LOST), deals[2], at=BEGINNING + days(6))
    return rules


_STORY = Told(_tell)


def test_firings_reversals_and_effect_by_rule(ask_built: Callable[[EventLog], Asker]) -> None:
    asker, rules = ask_built(_STORY.log), _STORY.by
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(35)).date()}

    def by_rule(metric: str, figure: str) -> dict[Any, Any]:
        return {row["group"]: row[figure] for row in asker.answer(metric, **period, group_by="rule").rows}

    assert by_rule("rule_firings", "rule_firings") == {str(rules[0]): 3, str(rules[1]): 1}
    assert by_rule("rule_firings", "acted") == {str(rules[0]): 2, str(rules[1]): 1}
    assert by_rule("rule_reversals", "reversal_rate") == {str(rules[0]): 0.5, str(rules[1]): 0.0}
    assert by_rule("rule_effect", "won_rate")[str(rules[0])] == 0.5
