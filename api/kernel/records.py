"""Plain records: rows that people list, read, create, change, search and import, with an owner and picklist labels.

A slice declares its kind; what is special about it, it does itself. Rules are pure (`create`, `change`), and requests
and imports share them; statements are composed once per kind. Events carry the facts that their class names, and which
fields changed; what names anybody stays in the row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased
from uuid_utils.compat import uuid7

from api.db.statements import Bound, Statement, contains, is_one_of
from api.kernel import custom, labels
from api.kernel.computed import FLAG, completed, has_computed, with_computed
from api.kernel.constraints import Problems, UnknownReference, unknown
from api.kernel.custom import Custom
from api.kernel.errors import Conflict, CrmError, NotFound, PreconditionFailed
from api.kernel.filters import Field, Fields, Kind, fields_of
from api.kernel.links import require_shown
from api.kernel.listing import Listing
from api.kernel.merged import Merged, survivor_of
from api.kernel.owners import active_user
from api.kernel.unit_of_work import Row, UnitOfWork, Values
from api.models.base import Aggregate
from api.models.picklist_value import PicklistValue
from contracts.events.envelope import Event

#: Whose records count: None is everybody's, also those nobody owns.
Owners = Collection[UUID] | None

_KEPT_BY_THE_KERNEL = frozenset(
    {"organization_id", "id", "version", "created_at", "updated_at", "deleted_at", "binned"}
    | {"computed", "computed_told", "computed_version"}
)


class ExternalIdTaken(Conflict):
    """Another record of the kind has this id of another system."""

    code = "external_id_taken"

    def __init__(self, noun: str, external_id: object) -> None:
        self.external_id = external_id
        super().__init__(f"Another {noun} has the external_id {external_id!r}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordKind:
    """One kind of plain record.

    `labels`: fields that people give by a label, and their picklists; the column is the field's with `_id`.
    `references`: columns that refer to other records, and what those are called. `searched`: where `?q=` looks.
    `filters`: columns that a list can be narrowed by. `beside`: fields kept in other rows, and the expressions that
    read them; such a kind says how it reads bodies (`asking`, `read`) and writes those rows (`keep`), and with which
    errors it refuses (`refusals`). `same`: finds the records that a new one may be, the surest first, by what `alike`
    takes of its body.
    """

    model: type[Aggregate]
    noun: str
    created: type[Event]
    updated: type[Event]
    custom_changed: type[Event] | None = None
    deleted: type[Event] | None = None
    restored: type[Event] | None = None
    searched: Sequence[InstrumentedAttribute[str] | InstrumentedAttribute[str | None]]
    labels: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    filters: Sequence[str] = ("owner_id",)
    beside: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    refusals: tuple[type[CrmError], ...] = ()
    same: Statement | None = None

    def alike(self, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 # for kinds with `same`
        """What of a body, in the form that is kept, only one record should have."""
        return {}

    def fill(self, before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 # as above
        """A body as far as it may add to a known record; lists that it adds to are whole."""
        return dict(given)

    def asking(self, given: Mapping[str, Any]) -> list[Bound]:  # noqa: ARG002 # for kinds that ask
        """What reading a body needs to know."""
        return []

    def read(self, given: Mapping[str, Any], answers: Sequence[list[Row]]) -> dict[str, Any]:  # noqa: ARG002 # as above
        """A body in the form that is kept."""
        return dict(given)

    def keep(self, unit: UnitOfWork, record_id: UUID, beside: Mapping[str, Any]) -> None:
        """Queue what fields beside the row are now; goes after the row."""

    def follow(self, state: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 # as above
        """What fields beside the row become by themselves when these fields change."""
        return {}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns that people fill."""
        names = (column.name for column in self.model.__table__.c if column.name not in _KEPT_BY_THE_KERNEL)
        return tuple(name for name in names if name != "custom")

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """What its events say of its state."""
        return tuple(self.created.model_fields)

    @cached_property
    def listing(self) -> Listing:
        """Records with their labels, newest first."""
        return Listing(self._query, filters=self._conditions, order=(self.model.id,), newest_first=True)

    @cached_property
    def locking(self) -> Listing:
        """The same, locked until the transaction ends."""
        locked = self._query.with_for_update(of=self.model)
        return Listing(locked, filters=self._conditions, order=(self.model.id,))

    @cached_property
    def fields(self) -> Fields:
        """What a list of them can be narrowed and sorted by."""
        fields = fields_of(self.model, **{name: self._aliases[name].label for name in self.labels})
        return {**fields, **({"tags": Field(self.beside["tags"], Kind.LIST)} if "tags" in self.beside else {})}

    @cached_property
    def _aliases(self) -> dict[str, Any]:
        return {name: aliased(PicklistValue, name=name) for name in self.labels}

    @property
    def _query(self) -> Select[Any]:
        query: Select[Any] = select(self.model).where(self.model.organization_id == bindparam("organization_id"))
        for name in self.labels:
            value = self._aliases[name]
            its_id = self._column(f"{name}_id")
            joined = and_(value.organization_id == self.model.organization_id, value.id == its_id)
            query = query.outerjoin(value, joined).add_columns(value.label.label(name))
        if self.custom_changed is not None:
            query = query.add_columns(has_computed(self.noun).label(FLAG))
        return query.add_columns(*(expression.label(name) for name, expression in self.beside.items()))

    @property
    def _conditions(self) -> dict[str, ColumnElement[bool]]:
        found: dict[str, ColumnElement[bool]] = {
            "id": self.model.id == bindparam("id"),
            "owners": is_one_of(self._column("owner_id"), "owners"),
            "q": or_(*(contains(column, "q") for column in self.searched)),
        }
        return found | {name: self._column(name) == bindparam(name) for name in self.filters}

    def _column(self, name: str) -> InstrumentedAttribute[Any]:
        column: InstrumentedAttribute[Any] = getattr(self.model, name)
        return column

    def problems(self, external_id: object) -> Problems:
        """What its constraints mean."""
        table = self.model.__tablename__
        nouns = {"owner_id": "active user", **self.references}
        known: dict[str, Callable[[], CrmError]] = {
            f"fk_{table}_{name}": unknown(name, noun) for name, noun in nouns.items()
        }
        return known | {f"uq_{table}_external_id": lambda: ExternalIdTaken(self.noun, external_id)}


@dataclass(frozen=True)
class Decision:
    """What becomes of a record: all its columns, those to write, and the events that say so."""

    state: Values
    written: Values
    events: Sequence[Event]
    #: What is kept in other rows and changed.
    beside: Mapping[str, Any] = field(default_factory=dict)


def create(
    kind: RecordKind,
    values: Values,
    *,
    id: UUID | None = None,  # noqa: A002 # reads as the column
    custom: Custom | None = None,
) -> Decision:
    """A new record; columns without a value are empty."""
    state: dict[str, Any] = {"id": id or uuid7(), **dict.fromkeys(kind.columns), **values}
    events = [kind.created(**{name: state[name] for name in kind.facts}), *_custom_events(kind, custom)]
    if kind.custom_changed is not None:
        state["custom"] = custom.values if custom else {}
    state["version"] = len(events)
    return Decision(state, state, events)


def change(kind: RecordKind, before: Values, wanted: Values, *, custom: Custom | None = None) -> Decision | None:
    """A record with other values; None where nothing differs."""
    changed = {name: value for name, value in wanted.items() if before[name] != value}
    beside = {name: changed[name] for name in kind.beside if name in changed}
    events = _custom_events(kind, custom)
    if changed:
        facts = {name: ({**before, **changed})[name] for name in kind.facts}
        events.insert(0, kind.updated.model_validate({**facts, "changed_fields": sorted(changed)}))
    if not events:
        return None
    version = before["version"] + len(events)  # type: ignore[operator]  # a number in every row
    if custom is not None and custom.changed:
        changed["custom"] = custom.values
    state = {**before, **changed, "version": version}
    written = {name: value for name, value in changed.items() if name not in beside}
    return Decision(state, {"id": before["id"], **written, "version": version}, events, beside)


def _custom_events(kind: RecordKind, custom: Custom | None) -> list[Event]:
    if kind.custom_changed is None or custom is None or not custom.changed:
        return []
    return [kind.custom_changed.model_validate(custom.facts())]


def write_new(unit: UnitOfWork, kind: RecordKind, decisions: Sequence[Decision]) -> None:
    """Queue new records and their events."""
    unit.insert(
        kind.model, *({"created_at": unit.now, "updated_at": unit.now, **decision.written} for decision in decisions)
    )
    _emit(unit, decisions)


def write_changed(unit: UnitOfWork, kind: RecordKind, decisions: Sequence[Decision]) -> None:
    """Queue changes of locked records and their events."""
    unit.update(kind.model, *(decision.written for decision in decisions))
    _emit(unit, decisions)


def _emit(unit: UnitOfWork, decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        version: Any = decision.state["version"]
        record_id: Any = decision.state["id"]
        for number, event in enumerate(decision.events, start=version - len(decision.events) + 1):
            unit.emit(event, aggregate_id=record_id, aggregate_version=number)


async def read_record(unit: UnitOfWork, kind: RecordKind, record_id: UUID, *, owners: Owners) -> Row:
    """One record that the caller sees.

    Raises:
        NotFound: there is none.
        Merged: it is part of another one.
    """
    [rows] = await unit.fetch_all(kind.listing.bind({"id": record_id, "owners": owners}, after=None, limit=1))
    if not rows:
        raise await _missing(unit, kind, record_id, owners)
    return rows[0]


async def _missing(unit: UnitOfWork, kind: RecordKind, record_id: UUID, owners: Owners) -> CrmError:
    """Why there is no such record: it never was one of the caller's, or it was merged into one that they see."""
    survivor_id = await survivor_of(unit, record_id)
    if survivor_id is not None:
        [seen] = await unit.fetch_all(kind.listing.bind({"id": survivor_id, "owners": owners}, after=None, limit=1))
        if seen:
            return Merged(kind.noun, survivor_id)
    return NotFound(kind.noun)


async def create_record(unit: UnitOfWork, kind: RecordKind, given: Mapping[str, Any]) -> Values:
    """Create a record from fields of a body; answers its columns and labels.

    Raises:
        UnknownReference: something it refers to is none of the organization's.
        ExternalIdTaken: another one has it.
        BadCustomValue, CustomValueTaken: a custom field does not take its value.
    """
    needed = _Needed.by(unit, kind, given, is_new=True)
    answers = await unit.fetch_all(*needed.statements) if needed.statements else []
    values = await needed.resolve(unit, answers)
    made = custom.begin(needed.definitions(answers), given.get("custom"))
    await custom.check_people(unit, made)
    unit.explain(kind.problems(given.get("external_id")))
    decision = create(kind, {name: value for name, value in values.items() if name in kind.columns}, custom=made)
    now = unit.now
    _require_shown(unit, kind, decision.written)
    write_new(unit, kind, [decision])
    record_id: Any = decision.state["id"]
    if beside := {name: values[name] for name in kind.beside if name in values}:
        kind.keep(unit, record_id, beside)
    custom.claim(unit, kind.noun, record_id, made)
    known = {**dict.fromkeys(kind.labels), **values, **decision.state, "created_at": now, "updated_at": now}
    return with_computed(kind.noun, {**known, **kind.follow({}, values)}, needed.definitions(answers))


async def change_record(
    unit: UnitOfWork,
    kind: RecordKind,
    record_id: UUID,
    *,
    owners: Owners,
    expected_version: int,
    given: Mapping[str, Any],
) -> Values:
    """Change the given fields of a record; where nothing differs, nothing is written.

    Raises:
        NotFound: there is none that the caller sees.
        PreconditionFailed: it changed since the caller read it.
        UnknownReference, ExternalIdTaken, BadCustomValue, CustomValueTaken: as in `create_record`.
    """
    needed = _Needed.by(unit, kind, given)
    locked = kind.locking.bind({"id": record_id, "owners": owners}, after=None, limit=1)
    rows, *answers = await unit.fetch_all(locked, *needed.statements)
    if not rows:
        raise await _missing(unit, kind, record_id, owners)
    before: dict[str, Any] = rows[0]._asdict()
    if before["version"] != expected_version:
        raise PreconditionFailed
    values = await needed.resolve(unit, answers, present_owner=before["owner_id"])
    changed = None
    if given.get("custom"):
        changed = custom.merge(needed.definitions(answers), before["custom"], given["custom"])
        await custom.check_people(unit, changed)
    wanted = {name: value for name, value in values.items() if name in kind.columns or name in kind.beside}
    decision = change(kind, before, wanted, custom=changed)
    if decision is None:
        return cast("Values", (await completed(unit, kind.noun, [before]))[0])
    unit.explain(kind.problems(decision.state["external_id"]))
    _require_shown(unit, kind, decision.written)
    fields = custom.definitions((await unit.fetch_all(custom.defining(kind.noun)))[0]) if before.get(FLAG) else []
    write_changed(unit, kind, [decision])
    if decision.beside:
        kind.keep(unit, record_id, decision.beside)
    if changed is not None:
        custom.claim(unit, kind.noun, record_id, changed)
    labelled = {name: values[name] for name in kind.labels if name in values}
    state = {
        **decision.state,
        **kind.follow(before, {**decision.written, **decision.beside}),
        **labelled,
        "updated_at": unit.now,
    }
    return with_computed(kind.noun, state, fields)


def _require_shown(unit: UnitOfWork, kind: RecordKind, written: Values) -> None:
    """What lies in the bin is referred to anew by nobody."""
    named: dict[str, Any] = {name: written[name] for name in kind.references if name in written}
    require_shown(unit, kind.model.__tablename__, **named)


@dataclass(frozen=True)
class _Needed:
    """What the fields of a body need to know, asked for beside other statements: is the owner one, what is a label."""

    kind: RecordKind
    given: Mapping[str, Any]
    owner: list[Bound]
    labelled: dict[str, Bound]
    asked: list[Bound]
    defining: list[Bound]

    @classmethod
    def by(cls, unit: UnitOfWork, kind: RecordKind, given: Mapping[str, Any], *, is_new: bool = False) -> "_Needed":
        has_custom = kind.custom_changed is not None and (is_new or given.get("custom"))
        defining = [custom.defining(kind.noun)] if has_custom else []
        named = {name: given[name] for name in kind.labels if given.get(name) is not None}
        found = {name: labels.finding_or_creating(kind.labels[name], label) for name, label in named.items()}
        return cls(kind, given, active_user(unit, given.get("owner_id")), found, kind.asking(given), defining)

    @property
    def statements(self) -> list[Bound]:
        return [*self.owner, *self.labelled.values(), *self.asked, *self.defining]

    def definitions(self, answers: Sequence[list[Row]]) -> list[custom.Definition]:
        return custom.definitions(answers[-1]) if self.defining else []

    async def resolve(
        self, unit: UnitOfWork, answers: Sequence[list[Row]], *, present_owner: UUID | None = None
    ) -> dict[str, Any]:
        """The fields, a label's value beside it. Whoever owns it already need not be active."""
        after_owner = len(self.owner)
        owner, found = answers[:after_owner], answers[after_owner : after_owner + len(self.labelled)]
        if owner and not owner[0] and self.given["owner_id"] != present_owner:
            raise UnknownReference("owner_id", "active user")
        after_labels = after_owner + len(self.labelled)
        values = self.kind.read(self.given, answers[after_labels : after_labels + len(self.asked)])
        for name in self.kind.labels:
            if name in values:
                values[f"{name}_id"] = None
        for (name, _), rows in zip(self.labelled.items(), found, strict=True):
            row = rows[0] if rows else await labels.find_or_create(unit, self.kind.labels[name], self.given[name])
            values |= {name: row.label, f"{name}_id": row.id}
        return values
