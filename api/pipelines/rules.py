"""Rules of pipelines and their stages: what one begins with, how it changes, when it may be retired. No I/O.

A stage's kind never changes, and its id outlives every name. Every change of a pipeline or of its stages holds the
pipeline's row, so two people arranging one pipeline take turns.

A stage's position is any number of its own within the pipeline; gaps are fine, ties are not. Only stages whose position
changes are written, because every changed stage is an event.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.db.values import JsonList
from api.kernel.changes import Change, Versioned, revised
from api.kernel.errors import Conflict, Unprocessable
from contracts.events.pipelines import (
    PipelineCreated,
    PipelineUpdated,
    StageCreated,
    StageDeleted,
    StageRestored,
    StageUpdated,
)
from contracts.stages import StageKind

#: Of positions and of target days.
LARGEST_NUMBER = 100_000


class PipelineNameTaken(Conflict):
    """Another active pipeline has this name."""

    code = "pipeline_name_taken"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Another pipeline is called {name!r}.")


class PipelineHasOpenDeals(Conflict):
    """A pipeline with open deals cannot be retired."""

    code = "pipeline_has_open_deals"

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} open deals are in this pipeline. Close them first.")


class StageNameTaken(Conflict):
    """Another active stage of the pipeline has this name."""

    code = "stage_name_taken"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Another stage of this pipeline is called {name!r}.")


class StageIsRetired(Conflict):
    """A retired stage takes no changes and no deals."""

    code, detail = "stage_retired", "This stage is retired."


class StageIsInUse(Conflict):
    """A stage that is in use cannot be brought back."""

    code, detail = "stage_in_use", "This stage is in use."


class StageHasOpenDeals(Conflict):
    """A stage with open deals cannot be retired."""

    code = "stage_has_open_deals"

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} open deals are in this stage. Move them first.")


class LastStageOfKind(Conflict):
    """A pipeline keeps an active stage of each kind."""

    code = "last_stage_of_kind"

    def __init__(self, kind: StageKind) -> None:
        self.kind = kind
        super().__init__(f"This is the pipeline's last stage of kind {kind.value!r}; it needs one.")


class StageKindIsFixed(Unprocessable):
    """A stage's kind never changes."""

    code = "stage_kind_fixed"

    def __init__(self, kind: StageKind) -> None:
        super().__init__(f"The stage exists as {kind}; a stage's kind never changes.", pointer="/kind")


class NumberTooLarge(Unprocessable):
    """A position or target beyond any use."""

    code = "number_too_large"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} may be at most {LARGEST_NUMBER}.", pointer=f"/{field}")


@dataclass(frozen=True, kw_only=True)
class Pipeline(Versioned):
    """One pipeline."""

    name: str
    is_active: bool = True


@dataclass(frozen=True, kw_only=True)
class Stage(Versioned):
    """One stage. A retired one takes no deals any more; its id stays valid in histories."""

    pipeline_id: UUID
    name: str
    kind: StageKind
    position: int
    target_days: int | None = None
    entry_fields: Sequence[str] = dataclasses.field(default_factory=JsonList)
    exit_fields: Sequence[str] = dataclasses.field(default_factory=JsonList)
    is_retired: bool = False


@dataclass(frozen=True, kw_only=True)
class StageDraft:
    """A stage to be made. Without positions the order of the drafts of a new pipeline counts."""

    name: str
    kind: StageKind = StageKind.OPEN
    target_days: int | None = None
    entry_fields: Sequence[str] = ()
    exit_fields: Sequence[str] = ()
    position: int | None = None


DEFAULT_PIPELINE = "Sales"
DEFAULT_STAGES = (
    StageDraft(name="New", target_days=7),
    StageDraft(name="Qualified", target_days=14),
    StageDraft(name="Proposal", target_days=14),
    StageDraft(name="Negotiation", target_days=21),
    StageDraft(name="Won", kind=StageKind.WON),
    StageDraft(name="Lost", kind=StageKind.LOST),
)

_FIELDS_NEEDED = ("entry_fields", "exit_fields")
Stages = Iterable[Stage]
Changes = list[Change[Stage]]
Positions = Mapping[UUID, int]


def missing_kinds(kinds: Iterable[StageKind]) -> list[StageKind]:
    """Kinds of which a pipeline lacks a stage: people could not win, lose or reopen in it. A file may bring one so."""
    present = set(kinds)
    return [kind for kind in StageKind if kind not in present]


def create_pipeline(name: str, now: datetime, *, occurred_at: datetime | None = None) -> Change[Pipeline]:
    """Make a pipeline, to be given stages. That no other has its name is the unique index's affair."""
    pipeline = Pipeline(id=uuid7(), version=1, created_at=now, updated_at=now, name=name)
    return Change(None, pipeline, PipelineCreated(name=name), occurred_at)


def update_pipeline(
    pipeline: Pipeline, now: datetime, *, changes: Mapping[str, Any], open_deals: int
) -> Change[Pipeline] | None:
    """Rename, retire or revive a pipeline. `changes` holds only what was sent; None: nothing changes.

    Raises:
        PipelineHasOpenDeals: it cannot be retired.
    """
    if all(getattr(pipeline, name) == value for name, value in changes.items()):
        return None
    after = revised(pipeline, now, **changes)
    if pipeline.is_active and not after.is_active and open_deals:
        raise PipelineHasOpenDeals(open_deals)
    return Change(pipeline, after, PipelineUpdated(name=after.name, is_active=after.is_active))


def first_stages(pipeline_id: UUID, drafts: Sequence[StageDraft], now: datetime) -> Changes:
    """The stages of a new pipeline, in order."""
    made = [
        _new_stage(pipeline_id, draft, now, position=place if draft.position is None else draft.position)
        for place, draft in enumerate(drafts)
    ]
    return sorted(made, key=lambda change: change.after.position)


def add_stage(
    stages: Stages, pipeline_id: UUID, draft: StageDraft, now: datetime, *, occurred_at: datetime | None = None
) -> Changes:
    """Add a stage to the pipeline's active `stages`; those in its way step aside. The new one comes last.

    Raises:
        StageNameTaken, NumberTooLarge: as they say.
    """
    _require_free_name(stages, draft.name)
    _refuse_large(position=draft.position, target_days=draft.target_days)
    position = draft.position
    if position is None:
        position = position_for(draft.kind, [(stage.kind, stage.position) for stage in stages])
    aside = with_room_at({stage.id: stage.position for stage in stages}, position)
    new = _new_stage(pipeline_id, draft, now, position=position, occurred_at=occurred_at)
    return [*_rearranged(stages, aside, now), new]


def update_stage(stages: Stages, stage: Stage, now: datetime, *, changes: Mapping[str, Any]) -> Changes:
    """Rename, move or re-target a stage. Each stage that takes another position says so in an event of its own.

    `stages` are the active ones of its pipeline; `changes` holds only what was sent.

    Raises:
        StageIsRetired, StageKindIsFixed, StageNameTaken, NumberTooLarge: as they say.
    """
    if stage.is_retired:
        raise StageIsRetired
    if changes.get("kind", stage.kind) != stage.kind:
        raise StageKindIsFixed(stage.kind)
    _refuse_large(position=changes.get("position"), target_days=changes.get("target_days"))
    name, target_days = changes.get("name", stage.name), changes.get("target_days", stage.target_days)
    if name != stage.name:
        _require_free_name(stages, name, of=stage)
    positions = {one.id: one.position for one in stages}
    moved = with_stage_at(positions, stage.id, position=changes.get("position", stage.position))
    changed = {"name": name, "target_days": target_days}
    changed |= {one: JsonList(changes[one]) for one in _FIELDS_NEEDED if one in changes}
    if any(getattr(stage, one) != value for one, value in changed.items()):
        moved = {stage.id: stage.position} | moved
    return _rearranged(stages, moved, now, of=stage.id, changed=changed)


def retire_stage(stages: Stages, stage: Stage, now: datetime, *, open_deals: int) -> Change[Stage]:
    """Retire a stage: no deal can enter it any more.

    Raises:
        StageIsRetired, LastStageOfKind, StageHasOpenDeals: as they say.
    """
    if stage.is_retired:
        raise StageIsRetired
    if all(other.kind != stage.kind for other in stages if other.id != stage.id):
        raise LastStageOfKind(stage.kind)
    if open_deals:
        raise StageHasOpenDeals(open_deals)
    return Change(stage, revised(stage, now, is_retired=True), StageDeleted(pipeline_id=stage.pipeline_id))


def restore_stage(stages: Stages, stage: Stage, now: datetime) -> Changes:
    """Let deals enter a retired stage again, where it stood; active `stages` in its way step aside. It comes last.

    Raises:
        StageIsInUse, StageNameTaken: as they say.
    """
    if not stage.is_retired:
        raise StageIsInUse
    _require_free_name(stages, stage.name)
    aside = with_room_at({one.id: one.position for one in stages}, stage.position)
    kept = {one: JsonList(getattr(stage, one)) for one in _FIELDS_NEEDED}
    after = revised(stage, now, is_retired=False, **kept)
    return [*_rearranged(stages, aside, now), Change(stage, after, StageRestored(**_facts(after)))]


def with_room_at(positions: Positions, position: int) -> dict[UUID, int]:
    """New positions of the stages that must step aside so that `position` is free."""
    by_position = {taken: stage_id for stage_id, taken in positions.items()}
    moved: dict[UUID, int] = {}
    while position in by_position:
        moved[by_position[position]] = position + 1
        position += 1
    return moved


def with_stage_at(positions: Positions, stage_id: UUID, *, position: int) -> dict[UUID, int]:
    """New positions after `stage_id` takes `position`; where that is taken, the stages in between shift one place."""
    if positions[stage_id] == position:
        return {}
    occupant = next((other for other, taken in positions.items() if taken == position), None)
    if occupant is None:
        return {stage_id: position}
    order = sorted(positions, key=lambda one: positions[one])
    places = sorted(positions.values())
    target = order.index(occupant)
    order.remove(stage_id)
    order.insert(target, stage_id)
    return {one: place for one, place in zip(order, places, strict=True) if positions[one] != place}


def position_for(kind: StageKind, stages: Sequence[tuple[StageKind, int]]) -> int:
    """Where a new stage goes unless told: after the last open stage, or at the end for a won or lost one."""
    same = [position for other, position in stages if kind is not StageKind.OPEN or other is StageKind.OPEN]
    return max(same, default=-1) + 1


def _new_stage(
    pipeline_id: UUID, draft: StageDraft, now: datetime, *, position: int, occurred_at: datetime | None = None
) -> Change[Stage]:
    stage = Stage(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        pipeline_id=pipeline_id,
        name=draft.name,
        kind=draft.kind,
        position=position,
        target_days=draft.target_days,
        entry_fields=JsonList(draft.entry_fields),
        exit_fields=JsonList(draft.exit_fields),
    )
    return Change(None, stage, StageCreated(**_facts(stage)), occurred_at)


def _rearranged(
    stages: Stages,
    positions: Positions,
    now: datetime,
    of: UUID | None = None,
    changed: Mapping[str, Any] | None = None,
) -> Changes:
    """These stages at their new positions; the one that `of` names also otherwise changed."""
    changes = []
    for stage in stages:
        if stage.id in positions:
            fields = changed if changed is not None and stage.id == of else {}
            kept = {one: JsonList(getattr(stage, one)) for one in _FIELDS_NEEDED}
            after = revised(stage, now, position=positions[stage.id], **{**kept, **fields})
            changes.append(Change(stage, after, StageUpdated(**_facts(after))))
    return changes


def _facts(stage: Stage) -> dict[str, Any]:
    return {name: getattr(stage, name) for name in ("pipeline_id", "name", "kind", "position", "target_days")}


def _require_free_name(stages: Stages, name: str, *, of: Stage | None = None) -> None:
    if any(stage.name.lower() == name.lower() and stage != of for stage in stages):
        raise StageNameTaken(name)


def _refuse_large(**numbers: int | None) -> None:
    for field, number in numbers.items():
        if number is not None and number > LARGEST_NUMBER:
            raise NumberTooLarge(field)
