"""What rules can do to a deal, by the rules that requests obey."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import Field, model_validator
from sqlalchemy import bindparam, func, select

from api.db.statements import compiled, is_one_of
from api.deals import places, records, rules
from api.deals.records import DealTarget
from api.deals.state import Deal, StageRef
from api.distribution import records as distribution
from api.distribution.rules import NoDistributionRule
from api.kernel import tags
from api.kernel.actions import Acting, ActionKind, ActionParameters, Decision
from api.kernel.constraints import UnknownReference
from api.kernel.labels import find_or_create
from api.kernel.tags import Tags
from api.models.deal import Deal as DealRow
from api.models.user import User
from api.picklists.rules import Picklist
from contracts.stages import StageKind

_STAGE_EVENTS = ("deal.stage.changed", "deal.closed", "deal.reopened")

# of people who can take deals: who has the fewest open ones, and of equals the one whose turn a deal's id says
_LEAST_BUSY = compiled(
    select(User.id)
    .outerjoin(
        DealRow,
        (DealRow.organization_id == User.organization_id)
        & (DealRow.owner_id == User.id)
        & (DealRow.status == StageKind.OPEN)
        & DealRow.deleted_at.is_(None),
    )
    .where(User.organization_id == bindparam("organization_id"), is_one_of(User.id, "user_ids"), User.is_active)
    .group_by(User.id)
    .order_by(func.count(DealRow.id), User.id)
    .limit(1)
)


class MoveTo(ActionParameters):
    """To a stage of the deal's pipeline; a lost one needs a reason."""

    stage_id: UUID
    reason: str | None = Field(default=None, min_length=1, max_length=120)


class ReopenIn(ActionParameters):
    """Open again, in the stage given or the one it was closed from."""

    stage_id: UUID | None = None


class AssignTo(ActionParameters):
    """To a person, or to whoever of several has the fewest open deals."""

    user_id: UUID | None = None
    user_ids: list[UUID] = Field(default=[], max_length=100)

    @model_validator(mode="after")
    def _one_of_both(self) -> "AssignTo":
        if (self.user_id is None) == (not self.user_ids):
            raise ValueError("name either user_id or user_ids")
        return self


class DistributeIn(ActionParameters):
    """To whom the rules of distribution choose."""


class TagWith(ActionParameters):
    """Tags to put on, and to take off."""

    add: Tags = []
    remove: Tags = []

    @model_validator(mode="after")
    def _something(self) -> "TagWith":
        if not self.add and not self.remove:
            raise ValueError("name tags to add or to remove")
        return self


class SetFields(ActionParameters):
    """Facts of the deal."""

    amount_minor: int | None = Field(default=None, ge=-(10**15), le=10**15)
    source: str | None = Field(default=None, min_length=1, max_length=120)
    close_in_days: int | None = Field(default=None, ge=0, le=3650)

    @model_validator(mode="after")
    def _something(self) -> "SetFields":
        if not self.model_fields_set:
            raise ValueError("name at least one of amount_minor, source, close_in_days")
        return self


async def _deal(acting: Acting) -> Deal:
    """The deal as the actions before left it, locked."""
    if "deal" not in acting.held:
        target = DealTarget(deal_id=acting.subject_id, owner_ids=None)
        locked, _ = await records.lock_deal(acting.unit, target)
        acting.held["deal"] = rules.Change(locked.deal)
        acting.writes.append(lambda: records.write(acting.unit, known=[acting.held["deal"]]))
        acting.unit.explain(records.REFERENCES)
    change: rules.Change = acting.held["deal"]
    return change.deal


def _and_then(acting: Acting, change: rules.Change) -> None:
    acting.held["deal"] = acting.held["deal"].and_then(change)


async def _value(acting: Acting, picklist: Picklist, label: str | None) -> UUID | None:
    if label is None:
        return None
    value: UUID = (await find_or_create(acting.unit, picklist, label)).id
    return value


async def _stage(acting: Acting, stage_id: UUID) -> StageRef:
    found = await acting.unit.fetch(places.STAGE, stage_id=stage_id)
    if not found:
        raise UnknownReference("stage_id", "stage")
    return places.as_stage(found[0])


async def _move(acting: Acting, to: MoveTo) -> Decision:
    deal, stage = await _deal(acting), await _stage(acting, to.stage_id)
    at = rules.instant_of(None, now=acting.unit.now, latest=deal.stage_entered_at)
    reason_id = await _value(acting, Picklist.LOST_REASON, to.reason)
    if deal.stage != stage:
        exits = await acting.unit.fetch(places.EXIT_FIELDS, deal_id=deal.id)
        rules.check_fields(deal, stage, exit_fields=exits[0].exit_fields if exits else ())
        _and_then(acting, rules.move(deal, stage, has_reason=to.reason is not None, lost_reason_id=reason_id, at=at))
    return Decision({"stage_id": deal.stage.id}, {"stage_id": stage.id})


async def _reopen(acting: Acting, where: ReopenIn) -> Decision:
    deal = await _deal(acting)
    asked = await _stage(acting, where.stage_id) if where.stage_id else None
    found = await acting.unit.fetch(places.STAGES_OF_KIND, deal_id=deal.id, kind=StageKind.OPEN)
    at = rules.instant_of(None, now=acting.unit.now, latest=deal.stage_entered_at)
    if deal.is_open:
        return Decision()
    change = rules.reopen(deal, asked=asked, open_stages=[places.as_stage(one) for one in found], at=at)
    _and_then(acting, change)
    return Decision({"stage_id": deal.stage.id}, {"stage_id": change.deal.stage.id})


async def _assign(acting: Acting, to: AssignTo) -> Decision:
    deal = await _deal(acting)
    found = await acting.unit.fetch(_LEAST_BUSY, user_ids=[to.user_id] if to.user_id else to.user_ids)
    if not found:
        raise UnknownReference("user_id", "active user")
    owner_id = found[0].id if deal.owners.last not in to.user_ids else deal.owners.last
    return await _update(acting, {"owner_id": owner_id})


async def _distribute(acting: Acting, _nothing: DistributeIn) -> Decision:
    deal = await _deal(acting)
    chosen = await distribution.distribute(
        acting.unit,
        pipeline_id=deal.stage.pipeline_id,
        source_id=deal.relations.last.source_id,
        is_asked=True,
        deal_id=deal.id,
    )
    if chosen is None:
        raise NoDistributionRule
    acting.writes.append(lambda: distribution.note(acting.unit, chosen, deal.id))
    return await _update(acting, {"owner_id": chosen.user_id})


async def _tag(acting: Acting, asked: TagWith) -> Decision:
    deal = await _deal(acting)
    [row] = await acting.unit.fetch(records.TAGS_OF_DEAL, deal_id=deal.id)
    off = {name.lower() for name in (*asked.remove, *asked.add)}
    after = sorted([*(one for one in row.tags if one.lower() not in off), *asked.add], key=str.lower)
    if tags.are_other(row.tags, after):
        at = rules.instant_of(None, now=acting.unit.now, latest=deal.last_occurred_at)
        _and_then(acting, rules.update(deal, {}, at=at, is_retagged=True))
        acting.writes.append(lambda: tags.put_on(acting.unit, "deal", deal.id, after))
    return Decision({"tags": row.tags}, {"tags": after})


async def _set(acting: Acting, fields: SetFields) -> Decision:
    wanted: dict[str, Any] = {}
    if "amount_minor" in fields.model_fields_set:
        wanted["amount_minor"] = fields.amount_minor
    if "source" in fields.model_fields_set:
        wanted["source_id"] = await _value(acting, Picklist.SOURCE, fields.source)
    await _deal(acting)
    if fields.close_in_days is not None:
        wanted["close_date"] = (acting.unit.now + timedelta(days=fields.close_in_days)).date()
    return await _update(acting, wanted)


async def _update(acting: Acting, wanted: Mapping[str, Any]) -> Decision:
    deal = await _deal(acting)
    at = rules.instant_of(None, now=acting.unit.now, latest=deal.last_occurred_at)
    change = rules.update(deal, wanted, at=at)
    _and_then(acting, change)
    return Decision(_facts(deal, wanted), _facts(change.deal, wanted))


def _facts(deal: Deal, names: Mapping[str, Any]) -> dict[str, Any]:
    known = {
        "owner_id": deal.owners.last,
        "amount_minor": deal.amounts.last.amount_minor,
        "source_id": deal.relations.last.source_id,
        "close_date": deal.close_dates.last,
    }
    return {name: known[name] for name in names}


ACTIONS = (
    ActionKind("deal.move", "Move to a stage", MoveTo, _move, subjects=("deal",), touches=_STAGE_EVENTS),
    ActionKind("deal.reopen", "Reopen", ReopenIn, _reopen, subjects=("deal",), touches=_STAGE_EVENTS),
    ActionKind("deal.assign", "Assign", AssignTo, _assign, subjects=("deal",), touches=("deal.owner.changed",)),
    ActionKind(
        "deal.distribute", "Distribute", DistributeIn, _distribute, subjects=("deal",), touches=("deal.owner.changed",)
    ),
    ActionKind("deal.tag", "Tag", TagWith, _tag, subjects=("deal",)),
    ActionKind(
        "deal.set", "Set fields", SetFields, _set, subjects=("deal",),
        touches=("deal.amount.changed", "deal.close_date.changed", "deal.updated"),
    ),
)  # fmt: skip
