"""One step of a bulk change: some of its records, in one transaction, as whoever asked for it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from api.bulk import records, rules
from api.bulk.kinds import KINDS, as_body, had
from api.bulk.rules import Job
from api.db.pipeline import Row
from api.db.values import JsonList
from api.deals import records as deals
from api.deals import rules as deal_rules
from api.deals.records import DealTarget
from api.kernel import custom, tags
from api.kernel.actions import Acting
from api.kernel.binning import put_in_bin, take_from_bin
from api.kernel.changes import revised
from api.kernel.context import Context
from api.kernel.errors import CrmError, NotFound, PreconditionFailed
from api.kernel.records import change_record
from api.kernel.unit_of_work import UnitOfWork
from api.models.bulk import BulkItem
from contracts.events.envelope import ActorKind

AT_ONCE = 50


def context_of(organization_id: UUID, job: Job) -> Context:
    """Whose changes these are: those of who asked, with the job as their cause."""
    return Context(
        organization_id=organization_id,
        actor=ActorKind.USER,
        actor_id=job.created_by,
        correlation_id=job.id,
        causation_id=job.id,
    )


async def step(unit: UnitOfWork, job: Job) -> bool:
    """Do some records; whether there may be more."""
    is_undoing = job.state == "undoing"
    status = "done" if is_undoing else "waiting"
    items = await unit.fetch(records.SOME, job_id=job.id, status=status, most=AT_ONCE)
    for item in items:
        try:
            async with unit.part():  # what its constraints refuse is this record's affair, not the transaction's
                if job.kind == "deal":
                    written = await (_undo(unit, item) if is_undoing else _do(unit, job, item))
                else:
                    written = await (_undo_record(unit, job, item) if is_undoing else _do_record(unit, job, item))
        except CrmError as error:
            written = {"status": "left" if is_undoing else "failed", "problem": str(error)[:500]}
        unit.update(BulkItem, {"id": item.id, **written})
    if len(items) == AT_ONCE:
        return True
    await unit.send()
    if not items and not await records.is_left(unit, job.id, status):
        ended = revised(job, unit.now, state="undone" if is_undoing else "done", completed_at=unit.now)
        records.write(unit, rules.Change(job, replace(ended, filter=JsonList(job.filter))))
        return False
    return True


async def _do(unit: UnitOfWork, job: Job, item: Row) -> dict[str, Any]:
    kind, parameters = rules.action_of(job.action)
    if kind is None:
        return await _delete(unit, item)
    acting = Acting(unit, job.id, "bulk", job.created_by, "deal", item.deal_id, {})
    decision = await kind.decide(acting, parameters)
    if not decision.is_change:
        return {"status": "unchanged"}
    for write in acting.writes:
        write()
    version = acting.held["deal"].deal.version
    return {"status": "done", "before": _as_json(decision.before), "version_after": version}


async def _delete(unit: UnitOfWork, item: Row) -> dict[str, Any]:
    locked, _ = await deals.lock_deal(unit, DealTarget(deal_id=item.deal_id, owner_ids=None))
    change = deal_rules.delete(locked.deal, now=unit.now)
    deals.write(unit, known=[change])
    return {"status": "done", "before": {}, "version_after": change.deal.version}


async def _undo(unit: UnitOfWork, item: Row) -> dict[str, Any]:
    """Restore what a deal had, if this was the last that happened to it."""
    if not item.before:
        deal, fields = await deals.lock_deleted(unit, item.deal_id, owner_ids=None)
        if deal.version != item.version_after:
            return _LEFT
        told = custom.merge(fields, deal.custom, {}) if deal.custom else None
        deals.write(unit, known=[deal_rules.restore(deal, told, now=unit.now)])
        return {"status": "undone"}
    locked, _ = await deals.lock_deal(unit, DealTarget(deal_id=item.deal_id, owner_ids=None))
    if locked.deal.version != item.version_after:
        return _LEFT
    at = deal_rules.instant_of(None, now=unit.now, latest=locked.deal.last_occurred_at)
    has_tags = "tags" in item.before
    change = deal_rules.update(locked.deal, rules.as_facts(item.before), at=at, is_retagged=has_tags)
    deals.write(unit, known=[change])
    if has_tags:
        tags.put_on(unit, "deal", item.deal_id, item.before["tags"])
    return {"status": "undone"}


async def _do_record(unit: UnitOfWork, job: Job, item: Row) -> dict[str, Any]:
    action = rules.record_action_of(job.kind, job.action)
    kind = action.of.kind
    if action.verb == "delete":
        return {
            "status": "done",
            "before": {},
            "version_after": await put_in_bin(unit, kind, item.record_id, owners=None),
        }
    [rows] = await unit.fetch_all(kind.locking.bind({"id": item.record_id}, after=None, limit=1))
    if not rows:
        raise NotFound(kind.noun)
    before = rows[0]._asdict()
    given = action.given(before)
    state = await change_record(
        unit, kind, item.record_id, owners=None, expected_version=before["version"], given=given
    )
    if state["version"] == before["version"]:
        return {"status": "unchanged"}
    return {"status": "done", "before": had(before, given), "version_after": state["version"]}


async def _undo_record(unit: UnitOfWork, job: Job, item: Row) -> dict[str, Any]:
    kind, version = KINDS[job.kind].kind, item.version_after
    try:
        if not item.before:
            await take_from_bin(unit, kind, item.record_id, owners=None, expected_version=version)
        else:
            given = as_body(job.kind, item.before)
            await change_record(unit, kind, item.record_id, owners=None, expected_version=version, given=given)
    except PreconditionFailed:
        return _LEFT
    except ValidationError:  # kept before bodies were as strict, or by an import
        return {"status": "left", "problem": "What it had is not taken any more. Change it by hand."}
    return {"status": "undone"}


_LEFT = {"status": "left", "problem": "Somebody changed it since."}


def _as_json(before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, int | list) else str(value) for name, value in before.items()
    }
