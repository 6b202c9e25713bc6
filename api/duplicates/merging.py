"""Merging records into one, and telling them apart again.

    POST /v1/contacts/{id}/merge {"other_ids": […], "fields": {"name": other_id}}

Whatever refers to the others moves to the survivor, in one transaction. `fields` says from which record a field is
taken; those that the survivor lacks are filled from the others. Undoing brings back what moved and still is where it
came to, and fields that nobody changed since; what was changed or added meanwhile stays with the survivor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.duplicates import records as rows
from api.kernel import custom, records
from api.kernel.errors import Conflict, NotFound, Unprocessable
from api.kernel.merged import survivor_of
from api.kernel.records import Owners, RecordKind
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.merged_record import MergedRecord
from contracts.events.envelope import Event

#: Never taken over by themselves: nobody's record is a decision, and ids of other systems keep their own meaning.
_NOT_FILLED = {"owner_id", "external_id"}
_PRIMARY = {"email": "email", "phone": "phone"}


class BadMerge(Unprocessable):
    """These records or fields cannot be merged so."""

    code = "bad_merge"


class LaterMerge(Conflict):
    """A later merge builds on this one."""

    code = "later_merge"

    def __init__(self, merged_id: UUID) -> None:
        self.merged_id = merged_id
        super().__init__(f"A later merge builds on this one. Undo that of {merged_id} first.")


@dataclass(frozen=True)
class Mergeable:
    """A kind of records that can be merged, and the events that say so."""

    kind: RecordKind
    merged: type[Event]
    unmerged: type[Event]

    @property
    def fields(self) -> dict[str, str]:
        """What people call a field -> its column."""
        names = {name: name for name in self.kind.columns if name != "external_id"}
        for label in self.kind.labels:
            names.pop(f"{label}_id", None)
            names[label] = f"{label}_id"
        return names


async def merge(
    unit: UnitOfWork,
    what: Mergeable,
    survivor_id: UUID,
    other_ids: Sequence[UUID],
    fields: Mapping[str, UUID],
    *,
    owners: Owners,
) -> Mapping[str, Any]:
    """Merge others into a record; answers it as it is then.

    Raises:
        NotFound: the caller does not see one of them.
        BadMerge: a record stands twice, or a field is none of theirs.
    """
    if survivor_id in other_ids or len(set(other_ids)) < len(other_ids):
        raise BadMerge("Each record can stand here only once.", pointer="/other_ids")
    states: dict[UUID, dict[str, Any]] = {}
    for record_id in sorted((survivor_id, *other_ids)):  # in one order, or two merges wait for each other
        locked = what.kind.locking.bind({"id": record_id, "owners": owners}, after=None, limit=1)
        [found] = await unit.fetch_all(locked)
        if not found:
            raise NotFound(what.kind.noun)
        states[record_id] = found[0]._asdict()
    taken = _taken(what, fields, states)
    [defined] = await unit.fetch_all(custom.defining(what.kind.noun))
    survivor = states[survivor_id]
    for other_id in other_ids:
        wanted = {name: record_id for name, record_id in taken.items() if record_id == other_id}
        keeps = {name for name, record_id in taken.items() if record_id != other_id}
        merging = _Merging(unit, what, custom.definitions(defined), survivor, states[other_id])
        survivor = await merging.run(wanted, keeps)
    return survivor


def _taken(what: Mergeable, fields: Mapping[str, UUID], states: Mapping[UUID, Any]) -> dict[str, UUID]:
    taken = {}
    for name, record_id in fields.items():
        column = name if name.startswith("custom.") else what.fields.get(name)
        if column is None:
            raise BadMerge(f"There is no field {name!r}.", pointer=f"/fields/{name}")
        if record_id not in states:
            raise BadMerge("This is none of the records that are merged.", pointer=f"/fields/{name}")
        taken[column] = record_id
    return taken


@dataclass
class _Merging:
    """One record that goes into another one."""

    unit: UnitOfWork
    what: Mergeable
    definitions: Sequence[custom.Definition]
    survivor: dict[str, Any]
    other: dict[str, Any]

    async def run(self, wanted: Mapping[str, UUID], keeps: set[str]) -> dict[str, Any]:
        """Move, change and remove; answers the survivor's state after it."""
        unit, kind = self.unit, self.what.kind
        merged = await rows.whole_row(unit, kind.model, self.other["id"])
        values = self._values(wanted, keeps)
        given = {
            str(one.id): self.other["custom"][str(one.id)]
            for one in self.definitions
            if self._goes_over(f"custom.{one.id}", self.survivor["custom"], self.other["custom"], wanted, keeps)
        }
        after_custom = custom.merge(self.definitions, self.survivor["custom"], given)
        moved, aside = await rows.move_all(unit, kind.noun, before=self.other["id"], after=self.survivor["id"])
        if kind.noun == "contact":
            kinds = [_PRIMARY[name] for name in values if name in _PRIMARY]
            if kinds:
                rows.keep_former_primary(unit, self.survivor["id"], kinds)
        decision = records.change(kind, self.survivor, values, custom=after_custom)
        if decision is not None:
            records.write_changed(unit, kind, [decision])
            custom.claim(unit, kind.noun, self.survivor["id"], after_custom)
        self._remember(merged, moved, aside, values, given)
        rows.delete_row(unit, kind.model, self.other["id"])
        await unit.send()
        return {**(self.survivor if decision is None else decision.state)}

    def _values(self, wanted: Mapping[str, UUID], keeps: set[str]) -> dict[str, Any]:
        return {
            name: self.other[name]
            for name in self.what.fields.values()
            if self._goes_over(name, self.survivor, self.other, wanted, keeps)
        }

    def _goes_over(
        self,
        name: str,
        survivor: Mapping[str, Any],
        other: Mapping[str, Any],
        wanted: Mapping[str, UUID],
        keeps: set[str],
    ) -> bool:
        key = name.removeprefix("custom.")
        mine, theirs = survivor.get(key), other.get(key)
        if theirs is None or mine == theirs:
            return False
        return name in wanted or (mine is None and name not in keeps and name not in _NOT_FILLED)

    def _remember(
        self,
        merged: Mapping[str, Any],
        moved: Mapping[str, Any],
        aside: Mapping[str, Any],
        values: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> None:
        unit, what, other = self.unit, self.what, self.other
        before = {name: self.survivor[name] for name in values}
        before_custom = {key: self.survivor["custom"].get(key) for key in given}
        unit.insert(
            MergedRecord,
            {
                "id": uuid7(),
                "kind": what.kind.noun,
                "merged_id": other["id"],
                "survivor_id": self.survivor["id"],
                "external_id": other["external_id"],
                "merged": dict(merged),
                "moved": dict(moved),
                "dropped": dict(aside),
                "survivor_before": {**before, "custom": before_custom},
                "survivor_after": {**values, "custom": dict(given)},
                "merged_by": unit.context.actor_id if unit.context.actor == "user" else None,
            },
        )
        event = what.merged(survivor_id=self.survivor["id"])  # type: ignore[call-arg]  # both kinds say so
        unit.emit(event, aggregate_id=other["id"], aggregate_version=other["version"] + 1)


async def unmerge(unit: UnitOfWork, what: Mergeable, merged_id: UUID, *, owners: Owners) -> Mapping[str, Any]:
    """Bring a merged record back; answers it.

    Raises:
        NotFound: it was not merged, or the caller does not see into what.
        LaterMerge: another merge has to be undone before.
        ExternalIdTaken, CustomValueTaken: another record has now what has to be unique.
    """
    kind = what.kind
    found = await unit.fetch(rows.MERGE_OF, merged_id=merged_id, kind=kind.noun)
    if not found:
        raise NotFound(f"merged {kind.noun}")
    one = found[0]
    later = await unit.fetch(rows.LATER, merge_id=one.id, survivor_id=one.survivor_id)
    if later:
        raise LaterMerge(later[0].merged_id)
    locked = kind.locking.bind({"id": one.survivor_id, "owners": owners}, after=None, limit=1)
    survivors, defined = await unit.fetch_all(locked, custom.defining(kind.noun))
    if not survivors:
        raise NotFound(f"merged {kind.noun}")
    version = one.merged["version"] + 2
    unit.explain({**kind.problems(one.external_id), "uq_custom_unique_values_value": custom.CustomValueTaken})
    _give_up_channels(unit, one)
    state = survivors[0]._asdict()
    _restore_survivor(unit, kind, state, one, custom.definitions(defined))
    row = {**one.merged, "version": version}
    if row.get("company_id"):
        row["company_id"] = await survivor_of(unit, UUID(row["company_id"])) or row["company_id"]
    rows.put_back(unit, kind.model.__tablename__, [row])
    if kind.noun == "contact":
        rows.forget_channels(unit, merged_id, None)  # those that its row brought along: its own come instead
        rows.put_back(unit, "contact_channels", one.dropped["channels"])
    rows.put_back(unit, "custom_unique_values", one.dropped["custom_unique_values"])
    rows.put_back(unit, "record_tags", one.dropped["record_tags.record_id"])
    unit.emit(
        what.unmerged(survivor_id=one.survivor_id),  # type: ignore[call-arg]  # both kinds say so
        aggregate_id=merged_id,
        aggregate_version=version,
    )
    unit.update(MergedRecord, {"id": one.id, "undone_at": unit.now})
    await unit.send()
    await rows.move_back(unit, kind.noun, before=one.survivor_id, after=merged_id, moved=one.moved)
    return {"id": merged_id, "version": version}


def _give_up_channels(unit: UnitOfWork, one: Row) -> None:
    ids = one.moved.get("contact_channels.contact_id")
    if ids:
        rows.forget_channels(unit, one.survivor_id, ids)


def _restore_survivor(
    unit: UnitOfWork, kind: RecordKind, state: dict[str, Any], one: Row, definitions: Sequence[custom.Definition]
) -> None:
    """Fields that the merge changed and nobody since are what they were."""
    before, after = dict(one.survivor_before), dict(one.survivor_after)
    before_custom, after_custom = before.pop("custom"), after.pop("custom")
    values = {
        name: _typed(value, state[name]) for name, value in before.items() if str(state[name]) == str(after[name])
    }
    given = {key: before_custom[key] for key, value in after_custom.items() if state["custom"].get(key) == value}
    # a field that came to be required meanwhile keeps what it got
    known = {str(definition.id): definition.is_required for definition in definitions}
    undone = {key: value for key, value in given.items() if key in known and not (value is None and known[key])}
    changed = custom.merge(definitions, state["custom"], undone)
    decision = records.change(kind, state, values, custom=changed)
    if decision is not None:
        records.write_changed(unit, kind, [decision])
        custom.claim(unit, kind.noun, state["id"], changed)


def _typed(value: Any, like: Any) -> Any:  # noqa: ANN401 # JSON, and what a row has
    return UUID(value) if isinstance(like, UUID) and value is not None else value
