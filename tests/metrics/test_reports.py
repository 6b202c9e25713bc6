"""A report that was written once: asked again with its `as_of` it is the same to the byte, whatever came since."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from contracts.events.deals import DealUpdated
from contracts.stages import StageKind
from metrics.registry import definitions
from tests.event_history import BEGINNING, Deal, EventLog, Pipeline, days
from tests.metrics.conftest import Asker, fitting, splits

_WRITTEN = BEGINNING + days(90)


@pytest.mark.parametrize("edits", [60, pytest.param(1_000, marks=pytest.mark.slow)])
def test_last_quarters_report_stays_after_later_edits(
    log: EventLog, ask: Callable[[EventLog], Asker], edits: int
) -> None:
    random, pipeline, owners, team = Random(16), log.pipeline(), [log.user(), log.user()], log.team()
    log.join(team, owners[0], at=BEGINNING)
    log.set_rates(BEGINNING.date(), {"USD": "1.1"}, at=BEGINNING)
    deals = []
    for number in range(edits // 3):
        at = BEGINNING + timedelta(hours=160 * number / (edits // 3))
        deal = log.deal(pipeline, at=at, owner_id=owners[number % 2], currency="USD" if number % 5 == 0 else "EUR")
        if number % 2:
            log.move(deal, pipeline.stages[1], at=at + days(1))
        if number % 7 == 3:
            log.win(deal, at=at + days(2))
        deals.append((deal, at))
    log.set_rates(_WRITTEN.date(), {"USD": "1.2"}, at=_WRITTEN)
    written = _report(ask(log), pipeline)

    for number in range(edits):
        deal, began_at = random.choice(deals)
        recorded = _WRITTEN + timedelta(minutes=5 * (number + 1))
        _edit(log, deal, random, owners, since=began_at, recorded=recorded)
        if number % 20 == 0:  # the past's rates are corrected, and a stage has another name
            log.set_rates((BEGINNING + days(number % 90)).date(), {"USD": f"1.{number:03}1"}, at=recorded)
            log.change_stage(pipeline, pipeline.stages[0], name=f"Renamed {number}", at=recorded)
    log.retire_stage(pipeline, pipeline.stages[2], at=_WRITTEN + days(5))
    log.leave(team, owners[0], at=_WRITTEN - days(40), recorded=_WRITTEN + days(5))
    log.set_rates((BEGINNING + days(3)).date(), {"USD": "2.5"}, at=_WRITTEN + days(6))
    later = ask(log)
    assert _report(later, pipeline) == written
    assert _report(later, pipeline, as_of=_WRITTEN + days(7)) != written


def _edit(
    log: EventLog, deal: Deal, random: Random, owners: list[UUID], *, since: datetime, recorded: datetime
) -> None:
    """Something of the quarter, learned after it: where a deal was, whose, what it was worth, that it was none."""
    at = since + (_WRITTEN - since) * random.random()
    others = [stage for stage in deal.pipeline.stages if stage.kind is StageKind.OPEN and stage.id != deal.stage.id]
    match random.choice(
        ["move", "owner", "amount", "amount", "source", "merge", "delete" if random.random() < 0.05 else "owner"]
    ):
        case "move" if deal.stage.kind is StageKind.OPEN:
            log.move(deal, random.choice(others), at=at, recorded=recorded)
        case "amount":
            log.set_amount(deal, random.randrange(10_000), at=at, recorded=recorded)
        case "source":
            log.set_source(deal, UUID(int=random.randrange(1, 4)), at=at, recorded=recorded)
        case "merge":  # another contact's deals are this one's, from now on
            other = DealUpdated(company_id=None, contact_id=log.new_id(), source_id=None, changed_fields=["contact_id"])
            log.add(other, deal.id, at=recorded)
        case "delete":
            log.delete(deal, at=recorded)
        case _:
            log.set_owner(deal, random.choice(owners), at=at, recorded=recorded)


def _report(asker: Asker, pipeline: Pipeline, *, as_of: datetime = _WRITTEN) -> bytes:
    """Every metric of deals, split in every way, as known at an instant; without what headers tell of today."""
    found = []
    for name, definition in definitions().items():
        for group_by in splits(definition) if definition.entity.name == "deal" else ():
            asked = {"group_by": group_by, "pipeline_id": pipeline.id, "as_of": as_of.isoformat()}
            asked |= {"start": BEGINNING.date(), "end": _WRITTEN.date()}
            answer = asdict(asker.answer(name, **fitting(definition, asked)))
            found.append({key: told for key, told in answer.items() if key not in {"warehouse_version", "through"}})
    return json.dumps(found, default=str).encode()
