"""Statements about deals: what the rules read, loaded and locked in one wait; what they decided, queued.

`owner_ids` is the set of visible owners, None for everybody's deals, the unowned ones included.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from api.db.statements import Statement, as_pattern, compiled, contains, is_one_of
from api.deals import places
from api.deals.rules import Change
from api.deals.state import Deal, replay
from api.edge.pages import Pagination, asked, read_page
from api.kernel.computed import FLAG, has_computed
from api.kernel.constraints import Problems, UnknownReference, unknown
from api.kernel.custom import Definition, defining, definitions
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.external_ids import own_ids
from api.kernel.filters import Field, Kind, Wish, fields_of
from api.kernel.labels import finding_or_creating
from api.kernel.listing import Listing
from api.kernel.tags import tags_of
from api.kernel.unit_of_work import Bound, Row, UnitOfWork
from api.models.deal import Deal as DealRow
from api.models.event_log import EventLogRow
from api.models.picklist_value import PicklistValue
from api.models.rule import Rule, RuleRun
from api.models.stage import Stage
from api.picklists.rules import Picklist
from contracts.events.envelope import Envelope, Event
from contracts.events.registry import parse
from contracts.stages import StageKind

Owners = Collection[UUID] | None

REFERENCES: Problems = {
    "fk_deals_company_id": unknown("company_id", "company"),
    "fk_deals_contact_id": unknown("contact_id", "contact"),
    "fk_deals_owner_id": unknown("owner_id", "active user"),
}


@dataclass(frozen=True, kw_only=True)
class DealFilter:
    """Which deals a list shows."""

    pipeline_id: UUID | None = None
    stage_id: UUID | None = None
    status: StageKind | None = None
    owner_id: UUID | None = None
    company_id: UUID | None = None
    contact_id: UUID | None = None
    is_rotting: bool | None = None
    text: str | None = None

    def given(self) -> dict[str, object]:
        """What is asked for, by name."""
        return {**vars(self), "text": as_pattern(self.text) if self.text else None}


@dataclass(frozen=True, kw_only=True)
class DealTarget:
    """The deal of a request: whose deals the caller sees, and the version they read, if they said so."""

    deal_id: UUID
    owner_ids: Owners
    expected_version: int | None = None


@dataclass(frozen=True)
class Locked:
    """A deal as of now, locked until the transaction ends; its row as it is shown; the picklist value asked for."""

    deal: Deal
    row: Mapping[str, Any]
    value: Row | None


_source, _reason = aliased(PicklistValue), aliased(PicklistValue)
TAGS = tags_of("deal", DealRow.organization_id, DealRow.id)
_HIDDEN = {"organization_id", "closed_at", "purged_at", "computed", "computed_told", "computed_version"}
_organization: BindParameter[UUID] = bindparam("organization_id")
_OF_THE_ROW = (
    "id", "external_id", "version", "title", "last_occurred_at", "lost_reason_id", "deleted_at", "has_lines", "custom",
)  # fmt: skip
_is_known_event = (EventLogRow.organization_id == _organization, EventLogRow.aggregate_type == "deal")


def _is_label(label: Any, id_: InstrumentedAttribute[UUID | None]) -> ColumnElement[bool]:  # noqa: ANN401 # an alias
    return and_(label.organization_id == DealRow.organization_id, label.id == id_)


_closed_at = case((DealRow.status != StageKind.OPEN, func.coalesce(DealRow.closed_at, DealRow.stage_entered_at)))
#: The deals that exist, as they are shown: picklist values by label too.
_deals = (
    select(
        *(column for column in DealRow.__table__.c if column.name not in _HIDDEN),
        _closed_at.label("closed_at"),
        _source.label.label("source"),
        _reason.label.label("lost_reason"),
        places.IS_ROTTING.label("is_rotting"),
        TAGS.label("tags"),
        has_computed("deal").label(FLAG),
    )
    # joined, not looked up for each deal: a list's deals are of few stages
    .outerjoin(Stage, places.IN_STAGE)
    .outerjoin(_source, _is_label(_source, DealRow.source_id))
    .outerjoin(_reason, _is_label(_reason, DealRow.lost_reason_id))
    .where(DealRow.organization_id == _organization, DealRow.deleted_at.is_(None))
)
_is_seen = is_one_of(DealRow.owner_id, "owner_ids")


@cache
def _one_deal(*, is_scoped: bool, is_locked: bool = False) -> Statement:
    query = _deals.where(DealRow.id == bindparam("deal_id"))
    query = query.where(_is_seen) if is_scoped else query
    return compiled(query.with_for_update(of=DealRow) if is_locked else query)


#: The tags of a deal.
TAGS_OF_DEAL = compiled(
    select(TAGS.label("tags")).where(DealRow.organization_id == _organization, DealRow.id == bindparam("deal_id"))
)


@cache
def _one_deleted(*, is_scoped: bool) -> Statement:
    query = select(DealRow.__table__).where(
        DealRow.organization_id == _organization,
        DealRow.id == bindparam("deal_id"),
        DealRow.deleted_at.is_not(None),
        DealRow.purged_at.is_(None),
    )
    return compiled((query.where(_is_seen) if is_scoped else query).with_for_update())


_LISTED = ("pipeline_id", "stage_id", "status", "owner_id", "company_id", "contact_id")
DEALS = Listing(
    _deals,
    filters={
        **{name: getattr(DealRow, name) == bindparam(name) for name in _LISTED},
        "text": contains(DealRow.title, "text"),
        "is_rotting": bindparam("is_rotting", type_=Boolean) == places.IS_ROTTING,
        "owner_ids": _is_seen,
    },
    order=(DealRow.id,),
    newest_first=True,
)

#: What a list of deals can be narrowed and sorted by.
FIELDS = {**fields_of(DealRow, source=_source.label, lost_reason=_reason.label), "tags": Field(TAGS, Kind.LIST)}

_ENVELOPE = [name for name in Envelope.model_fields if name != "id"]
_events = select(EventLogRow.event_id, *(getattr(EventLogRow, name) for name in _ENVELOPE)).where(*_is_known_event)
_EVENTS = compiled(
    _events.where(EventLogRow.aggregate_id == bindparam("deal_id")).order_by(EventLogRow.aggregate_version)
)


def _value_of(name: str) -> Select[Any]:
    value = cast(EventLogRow.data[name].astext, Uuid)
    return select(value).where(*_is_known_event, EventLogRow.aggregate_id == bindparam("deal_id"))


_LABELS_OF_EVENTS = compiled(
    select(PicklistValue.id, PicklistValue.label).where(
        PicklistValue.organization_id == _organization,
        or_(*(PicklistValue.id.in_(_value_of(name)) for name in ("source_id", "lost_reason_id"))),
    )
)
#: The firings of rules that an event of the deal names as its cause.
_FIRINGS = compiled(
    select(
        RuleRun.cause_id, RuleRun.rule_id, RuleRun.rule_version, RuleRun.event_id, RuleRun.fired_at, RuleRun.facts,
        RuleRun.score, RuleRun.score_model, Rule.name,
    )
    .join(Rule, and_(Rule.organization_id == RuleRun.organization_id, Rule.id == RuleRun.rule_id))
    .where(RuleRun.organization_id == _organization, RuleRun.subject_id == bindparam("deal_id"),
           RuleRun.cause_id.is_not(None))
)  # fmt: skip
_known = (
    DealRow.organization_id == _organization,
    # exports give deals without an id of another system our own
    or_(
        is_one_of(DealRow.external_id, "external_ids"),
        and_(DealRow.external_id.is_(None), is_one_of(DealRow.id, "own_ids")),
    ),
    DealRow.deleted_at.is_(None),
)
_MANY_DEALS = compiled(
    select(DealRow.__table__).where(*_known).order_by(DealRow.id).with_for_update(), is_prepared=False
)
_MANY_EVENTS = compiled(
    _events.where(EventLogRow.aggregate_id.in_(select(DealRow.id).where(*_known))).order_by(
        EventLogRow.aggregate_id, EventLogRow.aggregate_version
    ),
    is_prepared=False,
)


async def read_deal(unit: UnitOfWork, target: DealTarget) -> Mapping[str, Any]:
    """A visible deal as it is shown.

    Raises:
        NotFound: no such deal that the caller sees.
    """
    return dict(_expected(await unit.fetch_all(_bound(target)))[0])


async def list_deals(
    unit: UnitOfWork, only: DealFilter, *, owner_ids: Owners, page: Pagination, wish: Wish | None = None
) -> tuple[list[Row], str | None]:
    """A page of the visible deals that a filter lets through, newest first, and the next page's cursor."""
    given = {**only.given(), "owner_ids": None if owner_ids is None else list(owner_ids)}
    ask = await asked(unit, wish, "deal", FIELDS, DealRow)
    return await read_page(unit, DEALS, given, page=page, ask=ask)


async def read_history(
    unit: UnitOfWork, target: DealTarget
) -> tuple[list[Envelope[Event]], dict[UUID, str], dict[UUID, Row]]:
    """A visible deal's events, the labels of the picklist values that they name, and the firings that led to them.

    Raises:
        NotFound: no such deal that the caller sees.
    """
    deal_id = target.deal_id
    named = (statement.bind(deal_id=deal_id) for statement in (_EVENTS, _LABELS_OF_EVENTS, _FIRINGS))
    _, events, labels, firings = _expected(await unit.fetch_all(_bound(target), *named))
    return (
        [_envelope(row) for row in events],
        {row.id: row.label for row in labels},
        {row.cause_id: row for row in firings},
    )


async def lock_deal(
    unit: UnitOfWork, target: DealTarget, *more: Bound, value: tuple[Picklist, str | None] | None = None
) -> tuple[Locked, list[list[Row]]]:
    """The deal of a command, the picklist value that it names, and what more its rule needs to know: in one wait.

    Raises:
        NotFound: no such deal that the caller sees.
        PreconditionFailed: it changed since the caller read it.
    """
    events = _EVENTS.bind(deal_id=target.deal_id)
    found, named = await _fetch_with_value(unit, value, _bound(target, is_locked=True), events, *more)
    row, history, *answers = _expected(found)
    if target.expected_version not in (None, row["version"]):
        raise PreconditionFailed
    return Locked(_deal(row, history), row, named), answers


async def lock_deleted(unit: UnitOfWork, deal_id: UUID, *, owner_ids: Owners) -> tuple[Deal, list[Definition]]:
    """A deleted deal that the caller saw, locked, and the custom fields of deals.

    Raises:
        NotFound: there is none.
    """
    scope = {} if owner_ids is None else {"owner_ids": list(owner_ids)}
    bound = _one_deleted(is_scoped=owner_ids is not None).bind(deal_id=deal_id, **scope)
    row, history, fields = _expected(await unit.fetch_all(bound, _EVENTS.bind(deal_id=deal_id), defining("deal")))
    return _deal(row, history), definitions(fields)


async def find_place(
    unit: UnitOfWork, pipeline_id: UUID, stage_id: UUID | None, *, source: str | None
) -> tuple[Row, Row | None, list[Definition]]:
    """Where a new deal of a pipeline begins: in the stage given or its first open one.

    Also the value of its source, and the custom fields of deals.

    Raises:
        UnknownReference: there is no such pipeline, or no such stage in it.
    """
    place = places.GIVEN_STAGE.bind(pipeline_id=pipeline_id, stage_id=stage_id) if stage_id else None
    place = place or places.FIRST_STAGE.bind(pipeline_id=pipeline_id)
    [found, fields], value = await _fetch_with_value(unit, (Picklist.SOURCE, source), place, defining("deal"))
    if found:
        return found[0], value, definitions(fields)
    is_known = await unit.fetch(places.PIPELINE, pipeline_id=pipeline_id)
    raise UnknownReference(*(("stage_id", "stage in this pipeline") if is_known else ("pipeline_id", "pipeline")))


async def _fetch_with_value(
    unit: UnitOfWork, value: tuple[Picklist, str | None] | None, *queries: Bound
) -> tuple[list[list[Row]], Row | None]:
    if value is None or value[1] is None:
        return await unit.fetch_all(*queries), None
    named = finding_or_creating(value[0], value[1])
    *found, values_found = await unit.fetch_all(*queries, named)
    while not values_found:
        values_found = await unit.fetch(named.statement, **named.values)
    return found, values_found[0]


async def lock_known(unit: UnitOfWork, external_ids: Sequence[str]) -> dict[str, Deal]:
    """The deals that have these ids in another system, or ours where they have none; locked in the order of ours."""
    ids = {"external_ids": list(external_ids), "own_ids": own_ids(external_ids)}
    deals, events = await unit.fetch_all(_MANY_DEALS.bind(**ids), _MANY_EVENTS.bind(**ids))
    histories: dict[UUID, list[Row]] = {deal.id: [] for deal in deals}
    for event in events:
        histories[event.aggregate_id].append(event)
    return {deal.external_id or str(deal.id): _deal(deal._asdict(), histories[deal.id]) for deal in deals}


def write(unit: UnitOfWork, *, new: Iterable[Change] = (), known: Iterable[Change] = ()) -> None:
    """Queue what the rules decided: rows and events. The known deals are locked."""
    new, known = list(new), [change for change in known if change.facts]
    unit.insert(DealRow, *(values(unit, change.deal) for change in new))
    unit.update(DealRow, *(values(unit, change.deal) for change in known))
    for change in (*new, *known):
        first = change.deal.version - len(change.facts) + 1
        for version, fact in enumerate(change.facts, start=first):
            unit.emit(
                fact.event,
                aggregate_id=change.deal.id,
                aggregate_version=version,
                occurred_at=fact.occurred_at,
                actor_id=fact.actor_id,
            )


def values(unit: UnitOfWork, deal: Deal) -> dict[str, Any]:
    """A deal's row as it is written now."""
    return {
        "id": deal.id,
        "version": deal.version,
        "created_at": deal.created_at,
        "updated_at": unit.now,
        "pipeline_id": deal.stage.pipeline_id,
        "stage_id": deal.stage.id,
        "stage_entered_at": deal.stage_entered_at,
        "status": deal.stage.kind.value,
        "closed_at": deal.closed_at,
        "title": deal.title,
        **deal.amounts.last._asdict(),
        **deal.relations.last._asdict(),
        "owner_id": deal.owners.last,
        "close_date": deal.close_dates.last,
        "lost_reason_id": deal.lost_reason_id,
        "external_id": deal.external_id,
        "last_occurred_at": deal.last_occurred_at,
        "deleted_at": deal.deleted_at,
        "has_lines": deal.has_lines,
        "custom": dict(deal.custom),
    }


def shown(unit: UnitOfWork, deal: Deal, value: Row | None, row: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """A deal as it is shown after a change; its labels are those it had, and that of the value asked for."""
    labels = {row["source_id"]: row["source"], row["lost_reason_id"]: row["lost_reason"]} if row else {}
    labels |= {value.id: value.label} if value else {}
    written = values(unit, deal)
    is_staying = row is not None and row["stage_entered_at"] == written["stage_entered_at"]
    return {
        **written,
        "source": labels.get(written["source_id"]),
        "lost_reason": labels.get(written["lost_reason_id"]),
        "is_rotting": row["is_rotting"] if row is not None and is_staying else deal.is_rotting(unit.now),
        **({"tags": row["tags"], FLAG: row[FLAG]} if row else {"tags": []}),
    }


def _bound(target: DealTarget, *, is_locked: bool = False) -> Bound:
    scope = {"owner_ids": list(target.owner_ids)} if target.owner_ids is not None else {}
    return _one_deal(is_scoped=bool(scope), is_locked=is_locked).bind(deal_id=target.deal_id, **scope)


def _expected(found: list[list[Row]]) -> Any:  # noqa: ANN401 # the deal, then the other answers
    [deal, *others] = found
    if not deal:
        raise NotFound("deal")
    return [deal[0]._asdict(), *others]


def _deal(row: Mapping[str, Any], history: Sequence[Row]) -> Deal:
    lines = replay((one.occurred_at, _envelope(one).data) for one in history)
    return Deal(**{name: row[name] for name in _OF_THE_ROW}, **lines._asdict())


def _envelope(row: Row) -> Envelope[Event]:
    return parse({"id": row.event_id, **{name: getattr(row, name) for name in _ENVELOPE}})
