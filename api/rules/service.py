"""What endpoints of rules answer that takes more than a statement: backtests, and how what a rule did stands now."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import Row, UnitOfWork
from api.rules import records
from api.rules.backtest import Fired, Replay
from api.rules.document import Document, OnEvent, OnScore
from api.rules.facts import Fact
from api.rules.matching import SCORED, subject_of
from api.rules.schemas import BacktestRead, UndoItem, WouldFire

_CHUNK = 250
_SHOWN = 1_000

_DEALS = compiled(
    text("""
select distinct 'deal' as kind, aggregate_id as id from event_log
where organization_id = :organization_id and type = 'deal.created'
  and case when actor = 'import' then occurred_at else recorded_at end < :ends
""")
)
_SCORED_CONTACTS = compiled(
    text("""
select distinct 'contact' as kind, cast(data ->> 'contact_id' as uuid) as id from event_log
where organization_id = :organization_id and type = 'lead.scored' and data ->> 'contact_id' is not null
""")
)
_OF_TYPE = compiled(
    text("""
select distinct aggregate_type, aggregate_id, data ->> 'deal_id' as deal_id, data ->> 'contact_id' as contact_id,
       data ->> 'company_id' as company_id
from event_log where organization_id = :organization_id and type = :type
  and case when actor = 'import' then occurred_at else recorded_at end >= :begins
  and case when actor = 'import' then occurred_at else recorded_at end < :ends
""")
)
_NOW = compiled(
    text("""
select id, title, status, closed_at, stage_id, owner_id, amount_minor, source_id, close_date, created_at from deals
where organization_id = :organization_id and deleted_at is null and id = any(cast(:ids as uuid[]))
""")
)
_NAMES = compiled(
    text("""
select id, name from contacts where organization_id = :organization_id and id = any(cast(:ids as uuid[]))
union all
select id, name from companies where organization_id = :organization_id and id = any(cast(:ids as uuid[]))
""")
)
_OTHERS = compiled(
    text("""
select count(*) filter (where status = 'won') as won, count(*) filter (where status = 'lost') as lost from deals
where organization_id = :organization_id and deleted_at is null and created_at < :ends
  and coalesce(closed_at, :ends) >= :begins and id <> all(cast(:ids as uuid[]))
""")
)
_DONE = compiled(
    text("""
select id, rule_version, subject_type, subject_id, fired_at, actions from rule_runs
where organization_id = :organization_id and rule_id = :rule_id and outcome = 'done' order by id desc limit 500
""")
)


async def backtest(
    unit: UnitOfWork, document: Document, *, begins: datetime, ends: datetime, above: float | None
) -> BacktestRead:
    """Replay a rule over a period."""
    book = await records.load_book(unit, since=begins)
    replay = Replay.of(document, book, begins=begins, ends=ends, above=above)
    places = await _places(unit, document, begins=begins, ends=ends)
    fired: list[Fired] = []
    events = 0
    for start in range(0, len(places), _CHUNK):
        some = places[start : start + _CHUNK]
        told: dict[UUID, list[Fact]] = {subject_id: [] for _, subject_id in some}
        for fact in await records.histories(unit, told):
            events += 1
            for subject_id in {fact.aggregate_id, _deal_named(fact), _contact_scored(fact)}:
                if subject_id in told:
                    told[subject_id].append(fact)
        for kind, subject_id in some:
            fired += replay.replay(kind, subject_id, told[subject_id])
        await asyncio.sleep(0)  # others want an answer too
    return await _summed_up(unit, fired, events=events, begins=begins, ends=ends)


async def undo_report(unit: UnitOfWork, rule_id: UUID) -> list[UndoItem]:
    """What a rule changed on deals, newest first, and how that stands now."""
    runs = [run for run in await unit.fetch(_DONE, rule_id=rule_id) if run.subject_type == "deal"]
    now = {row.id: row for row in await unit.fetch(_NOW, ids=[run.subject_id for run in runs])}
    return [
        _undo_item(run, action, now.get(run.subject_id))
        for run in runs
        for action in run.actions
        if action["before"] and action["before"] != action["after"]
    ]


async def _places(unit: UnitOfWork, document: Document, *, begins: datetime, ends: datetime) -> list[tuple[str, UUID]]:
    """The records that a rule may fire on within a period."""
    if isinstance(document.trigger, OnScore) and document.trigger.subject == "contact":
        return [(row.kind, row.id) for row in await unit.fetch(_SCORED_CONTACTS)]
    if not isinstance(document.trigger, OnEvent):
        return [(row.kind, row.id) for row in await unit.fetch(_DEALS, ends=ends)]
    rows = await unit.fetch(_OF_TYPE, type=document.trigger.event, begins=begins, ends=ends)
    return sorted({_subject_of(row) for row in rows}, key=str)


def _subject_of(row: Row) -> tuple[str, UUID]:
    data = {name: getattr(row, name) for name in ("deal_id", "contact_id", "company_id")}
    return subject_of(row.aggregate_type, row.aggregate_id, data)


def _deal_named(fact: Fact) -> UUID | None:
    named = fact.data.get("deal_id")
    return None if named is None else UUID(str(named))


def _contact_scored(fact: Fact) -> UUID | None:
    named = fact.data.get("contact_id") if fact.type == SCORED else None
    return None if named is None else UUID(str(named))


async def _summed_up(
    unit: UnitOfWork, fired: Sequence[Fired], *, events: int, begins: datetime, ends: datetime
) -> BacktestRead:
    ids = {one.firing.subject.id for one in fired if one.firing.subject.type == "deal"}
    now = {row.id: row for row in await unit.fetch(_NOW, ids=list(ids))}
    [others] = await unit.fetch(_OTHERS, begins=begins, ends=ends, ids=list(ids))
    became = Counter(row.status for row in now.values())
    ordered = sorted(fired, key=lambda one: (one.firing.at, str(one.firing.subject.id)))
    shown = ordered[:_SHOWN]
    titles = {row.id: row.title for row in now.values()}
    if others_ids := [one.firing.subject.id for one in shown if one.firing.subject.type != "deal"]:
        titles |= {row.id: row.name for row in await unit.fetch(_NAMES, ids=others_ids)}
    return BacktestRead(
        events=events,
        fired=len(fired),
        records=len({one.firing.subject.id for one in fired}),
        won=became["won"],
        lost=became["lost"],
        open=became["open"],
        others_won=others.won,
        others_lost=others.lost,
        firings=[_would_fire(one, now.get(one.firing.subject.id), titles) for one in shown],
    )


def _would_fire(one: Fired, now: Row | None, titles: Mapping[UUID, str]) -> WouldFire:
    firing, people = one.firing, one.next_by_people
    return WouldFire(
        subject_type=firing.subject.type,
        subject_id=firing.subject.id,
        subject_title=titles.get(firing.subject.id),
        at=firing.at,
        event_id=firing.fact.id if firing.fact else None,
        key=firing.key,
        facts=dict(firing.facts),
        score=one.score,
        status_now=now.status if now else None,
        closed_at=now.closed_at if now else None,
        stage_id_then=UUID(str(one.stage_id)) if one.stage_id else None,
        stage_id_now=now.stage_id if now else None,
        next_by_people=people.type if people else None,
        next_by_people_at=people.recorded_at if people else None,
    )


def _undo_item(run: Row, action: dict[str, Any], now: Row | None) -> UndoItem:
    present = {name: getattr(now, name, None) for name in action["after"]}
    shown = {name: None if value is None else str(value) for name, value in present.items()}
    left = {name: None if value is None else str(value) for name, value in action["after"].items()}
    return UndoItem(
        run_id=run.id,
        subject_type=run.subject_type,
        subject_id=run.subject_id,
        subject_title=now.title if now else None,
        fired_at=run.fired_at,
        rule_version=run.rule_version,
        do=action["do"],
        before=action["before"],
        after=action["after"],
        now=shown,
        can_undo=now is not None and shown == left,
    )
