"""Keeps what is computed of records beside them, and tells events of it: lists and figures have it as they have fields.

A unit of work that wrote records ends with it: what changed is read as it is now, computed, and written where it
differs, in the same transaction. It is an aggregate of its own: a record's version counts what people did alone.
What a definition changes, a job computes anew (`api.custom_fields.worker`).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Select, and_, bindparam, select, text
from sqlalchemy.orm import aliased

from api.db.statements import Bound, Statement, compiled, is_one_of
from api.kernel import custom
from api.kernel.computed import lasting, shared
from api.kernel.custom import Definition
from api.kernel.hints import hint
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.company import Company
from api.models.contact import Contact
from api.models.deal import Deal
from api.models.picklist_value import PicklistValue
from contracts.events.custom_fields import ComputedValuesChanged

#: What the worker waits for.
WORK = "computing"

_MODELS: Mapping[str, type[Deal] | type[Contact] | type[Company]] = {
    "deal": Deal,
    "contact": Contact,
    "company": Company,
}
_LABELS: Mapping[str, Sequence[str]] = {
    "deal": ("source", "lost_reason"),
    "contact": ("source",),
    "company": ("industry",),
}
_BEGIN = compiled(
    text(
        "update custom_fields set computing_since = cast(cast(pg_current_xact_id() as text) as bigint),"
        " computing_after = null, computing_done = 0, computing_total = null"
        " where organization_id = :organization_id and id = :field_id"
    )
)


def _records(noun: str) -> Select[Any]:
    model = _MODELS[noun]
    query: Select[Any] = select(model).where(model.organization_id == bindparam("organization_id"))
    for name in _LABELS[noun]:
        value = aliased(PicklistValue, name=name)
        its_id = getattr(model, f"{name}_id")
        joined = and_(value.organization_id == model.organization_id, value.id == its_id)
        query = query.outerjoin(value, joined).add_columns(value.label.label(name))
    return query.order_by(model.id).with_for_update(of=model)


_THESE: Mapping[str, Statement] = {
    noun: compiled(_records(noun).where(is_one_of(model.id, "ids")), is_prepared=False)
    for noun, model in _MODELS.items()
}
_FIRST: Mapping[str, Statement] = {noun: compiled(_records(noun).limit(bindparam("most"))) for noun in _MODELS}
_NEXT: Mapping[str, Statement] = {
    noun: compiled(_records(noun).where(model.id > bindparam("after")).limit(bindparam("most")))
    for noun, model in _MODELS.items()
}


async def keep_up(unit: UnitOfWork) -> None:
    """Compute what the unit touched, where there is anything to compute."""
    if unit.computes:
        await compute(unit, {noun: unit.touched[noun] for noun in _MODELS if unit.touched.get(noun)})


async def compute(unit: UnitOfWork, touched: Mapping[str, Collection[UUID]]) -> None:
    """Compute these records as they are now, and queue what differs from what is kept."""
    if not touched:
        return
    asked = [
        one for noun, ids in touched.items() for one in (custom.defining(noun), _THESE[noun].bind(ids=sorted(ids)))
    ]
    answers = iter(await unit.fetch_all(*asked))
    for noun in touched:
        fields, rows = custom.definitions(next(answers)), next(answers)
        _keep(unit, noun, fields, rows)


async def compute_some(unit: UnitOfWork, noun: str, *, after: UUID | None, most: int) -> list[UUID]:
    """The same of the records of a kind that follow one, and their ids; they stay locked until the transaction ends."""
    some: Bound = _NEXT[noun].bind(after=after, most=most) if after else _FIRST[noun].bind(most=most)
    fields, rows = await unit.fetch_all(custom.defining(noun), some)
    _keep(unit, noun, custom.definitions(fields), rows)
    return [row.id for row in rows]


def begin(unit: UnitOfWork, field_id: UUID) -> None:
    """Let all records of a field's kind be computed anew, once whoever may not know the change yet has ended."""
    unit.execute(_BEGIN, field_id=field_id)
    hint(unit, WORK)


def _keep(unit: UnitOfWork, noun: str, fields: Sequence[Definition], rows: Sequence[Row]) -> None:
    changed = []
    for row in rows:
        record = row._asdict()
        values = {} if row.deleted_at is not None else lasting(noun, {**record, "custom": row.custom or {}}, fields)
        told = shared(noun, values, fields)
        if (values, told) == (row.computed or {}, row.computed_told or {}):
            continue
        version = row.computed_version or 0
        if told != (row.computed_told or {}):
            version += 1
            _tell(unit, noun, row.id, version, told)
        changed.append(
            {
                "id": row.id,
                "updated_at": row.updated_at,
                "computed": values,
                "computed_told": told,
                "computed_version": version,
            }
        )
    unit.update(_MODELS[noun], *changed)


def _tell(unit: UnitOfWork, noun: str, record_id: UUID, version: int, told: Mapping[str, str]) -> None:
    event = ComputedValuesChanged(record_kind=noun, record_id=record_id, custom=dict(told))
    unit.emit(
        event,
        aggregate_id=uuid5(record_id, event.aggregate_type),
        aggregate_version=version,
        occurred_at=unit.context.recorded_at or unit.now,
    )
