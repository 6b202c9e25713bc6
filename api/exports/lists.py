"""The lists that can be exported: one statement each, in keyset order, its columns named as an import's are.

A record without an id of another system is exported with our own, by which an import finds it again.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Text, and_, bindparam, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, aliased

from api.db.statements import is_one_of
from api.kernel.listing import Listing
from api.kernel.records import Owners
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.company import Company
from api.models.contact import Contact
from api.models.contact_channel import ContactChannel
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.picklist_value import PicklistValue
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from api.models.tag import RecordTag, Tag
from api.models.user import User
from contracts.money import MINOR_DIGITS

_AT_ONCE = 5_000


class Exportable(StrEnum):
    """What can be exported."""

    COMPANIES = "companies"
    CONTACTS = "contacts"
    DEALS = "deals"
    DEAL_STAGE_HISTORY = "deal_stage_history"
    PIPELINES = "pipelines"
    USERS = "users"


@dataclass(frozen=True)
class ExportedList:
    """A list's statement, the columns of the file, and how a row's cells are made of it."""

    listing: Listing
    columns: Sequence[str]
    cells: Callable[[Row], Mapping[str, Any]] = lambda row: row._asdict()


_organization: Any = bindparam("organization_id")
_owner, _actor = aliased(User), aliased(User)
_source, _reason, _industry = aliased(PicklistValue), aliased(PicklistValue), aliased(PicklistValue)


def _own_id(model: Any) -> ColumnElement[str]:  # noqa: ANN401 # a table or its alias
    return func.coalesce(model.external_id, cast(model.id, Text))


def _is(other: Any, model: Any, column: Any) -> ColumnElement[bool]:  # noqa: ANN401 # tables or their aliases
    return and_(other.organization_id == model.organization_id, other.id == column)


def _more(kind: str) -> ScalarSelect[Any]:
    """A contact's addresses of a kind besides the primary one, each after its type."""
    one = ContactChannel.type + ": " + ContactChannel.value
    return (
        select(func.string_agg(one, aggregate_order_by(literal("; "), ContactChannel.position, ContactChannel.id)))
        .where(
            ContactChannel.organization_id == Contact.organization_id,
            ContactChannel.contact_id == Contact.id,
            ContactChannel.kind == kind,
            ~ContactChannel.is_primary,
        )
        .correlate(Contact)
        .scalar_subquery()
    )


def _tags(noun: str, model: type[Company | Contact]) -> ScalarSelect[Any]:
    return (
        select(func.string_agg(Tag.name, aggregate_order_by(literal("; "), func.lower(Tag.name))))
        .join(RecordTag, (RecordTag.organization_id == Tag.organization_id) & (RecordTag.tag_id == Tag.id))
        .where(
            RecordTag.organization_id == model.organization_id,
            RecordTag.record_kind == noun,
            RecordTag.record_id == model.id,
        )
        .correlate(model)
        .scalar_subquery()
    )


_companies = (
    select(
        Company.id,
        _own_id(Company).label("external_id"),
        Company.name,
        Company.domain,
        _industry.label.label("industry"),
        Company.employee_count.label("employees"),
        Company.country,
        _owner.email.label("owner_email"),
        _tags("company", Company).label("tags"),
    )
    .outerjoin(_industry, _is(_industry, Company, Company.industry_id))
    .outerjoin(_owner, _is(_owner, Company, Company.owner_id))
    .where(Company.organization_id == _organization)
)
_contacts = (
    select(
        Contact.id,
        _own_id(Contact).label("external_id"),
        Contact.name,
        Contact.email,
        Contact.phone,
        _more("email").label("more_emails"),
        _more("phone").label("more_phones"),
        _more("handle").label("handles"),
        Company.name.label("company"),
        _own_id(Company).label("company_external_id"),
        _owner.email.label("owner_email"),
        _source.label.label("source"),
        _tags("contact", Contact).label("tags"),
    )
    .outerjoin(Company, _is(Company, Contact, Contact.company_id))
    .outerjoin(_source, _is(_source, Contact, Contact.source_id))
    .outerjoin(_owner, _is(_owner, Contact, Contact.owner_id))
    .where(Contact.organization_id == _organization)
)
_deals = (
    select(
        Deal.id,
        _own_id(Deal).label("external_id"),
        Deal.title,
        Pipeline.name.label("pipeline"),
        Stage.name.label("stage"),
        Deal.status,
        Deal.amount_minor,
        Deal.currency,
        _owner.email.label("owner_email"),
        Company.name.label("company"),
        _own_id(Company).label("company_external_id"),
        Contact.email.label("contact_email"),
        _own_id(Contact).label("contact_external_id"),
        _source.label.label("source"),
        Deal.created_at,
        Deal.close_date,
        Deal.closed_at,
        Deal.stage_entered_at,
        _reason.label.label("lost_reason"),
    )
    .join(Pipeline, _is(Pipeline, Deal, Deal.pipeline_id))
    .join(Stage, _is(Stage, Deal, Deal.stage_id))
    .outerjoin(Company, _is(Company, Deal, Deal.company_id))
    .outerjoin(Contact, _is(Contact, Deal, Deal.contact_id))
    .outerjoin(_source, _is(_source, Deal, Deal.source_id))
    .outerjoin(_reason, _is(_reason, Deal, Deal.lost_reason_id))
    .outerjoin(_owner, _is(_owner, Deal, Deal.owner_id))
    .where(Deal.organization_id == _organization, Deal.deleted_at.is_(None))
)
_ENTRIES = ("deal.created", "deal.stage.changed", "deal.closed", "deal.reopened")
_entries = (
    select(
        EventLogRow.aggregate_id,
        EventLogRow.occurred_at,
        EventLogRow.aggregate_version,
        _own_id(Deal).label("deal_external_id"),
        Stage.name.label("stage"),
        EventLogRow.occurred_at.label("entered_at"),
        _actor.email.label("actor_email"),
    )
    .join(Deal, _is(Deal, EventLogRow, EventLogRow.aggregate_id))
    .join(Stage, _is(Stage, EventLogRow, cast(EventLogRow.data["to_stage_id"].astext, Stage.id.type)))
    .outerjoin(_actor, and_(_is(_actor, EventLogRow, EventLogRow.actor_id), EventLogRow.actor == "user"))
    .where(
        EventLogRow.organization_id == _organization,
        EventLogRow.aggregate_type == "deal",
        EventLogRow.type.in_(_ENTRIES),
        Deal.deleted_at.is_(None),
    )
)
_pipelines = (
    select(Stage.id, Pipeline.name.label("pipeline"), Stage.name.label("stage"), Stage.position, Stage.kind)
    .add_columns(Stage.target_days)
    .join(Pipeline, _is(Pipeline, Stage, Stage.pipeline_id))
    .where(Stage.organization_id == _organization, ~Stage.is_retired, Pipeline.is_active)
)
_users = select(User.id, User.email, User.name, User.role).where(User.organization_id == _organization)


def _listing(query: Any, *order: InstrumentedAttribute[Any], owner: Any = None) -> Listing:  # noqa: ANN401 # composed
    return Listing(query, filters={"owners": is_one_of(owner, "owners")} if owner is not None else {}, order=order)


def _deal_cells(row: Row) -> Mapping[str, Any]:
    is_closed = row.status != "open"
    return {
        **row._asdict(),
        "amount": major_units(row.amount_minor, row.currency),
        "closed_at": (row.closed_at or row.stage_entered_at) if is_closed else None,
    }


def major_units(amount_minor: int | None, currency: str) -> str | None:
    """An amount with a decimal point that nobody can take for one of thousands."""
    if amount_minor is None:
        return None
    digits = MINOR_DIGITS.get(currency, 2)
    whole, rest = divmod(abs(amount_minor), 10**digits)
    decimals = f".{rest:0{digits}d}" if digits else ""
    # three decimals alone would read like thousands
    return f"{'-' if amount_minor < 0 else ''}{whole}{decimals}{'0' if digits == 3 else ''}"  # as said


LISTS: Mapping[Exportable, ExportedList] = {
    Exportable.COMPANIES: ExportedList(
        _listing(_companies, Company.id, owner=Company.owner_id),
        ("external_id", "name", "domain", "industry", "employees", "country", "owner_email", "tags"),
    ),
    Exportable.CONTACTS: ExportedList(
        _listing(_contacts, Contact.id, owner=Contact.owner_id),
        (
            "external_id", "name", "email", "phone", "more_emails", "more_phones", "handles", "company",
            "company_external_id", "owner_email", "source", "tags",
        ),
    ),
    Exportable.DEALS: ExportedList(
        _listing(_deals, Deal.id, owner=Deal.owner_id),
        (
            "external_id", "title", "pipeline", "stage", "status", "amount", "currency", "owner_email", "company",
            "company_external_id", "contact_email", "contact_external_id", "source", "created_at", "close_date",
            "closed_at", "lost_reason",
        ),
        _deal_cells,
    ),
    Exportable.DEAL_STAGE_HISTORY: ExportedList(
        _listing(
            _entries,
            EventLogRow.aggregate_id,
            EventLogRow.occurred_at,
            EventLogRow.aggregate_version,
            owner=Deal.owner_id,
        ),
        ("deal_external_id", "stage", "entered_at", "actor_email"),
    ),
    Exportable.PIPELINES: ExportedList(
        _listing(_pipelines, Stage.id), ("pipeline", "stage", "position", "kind", "target_days")
    ),
    Exportable.USERS: ExportedList(_listing(_users, User.id), ("email", "name", "role")),
}  # fmt: skip


async def batches(unit: UnitOfWork, what: ExportedList, *, owners: Owners) -> AsyncIterator[list[tuple[Any, ...]]]:
    """All rows of a list as cells, some thousands at a time."""
    given = {"owners": None if owners is None else list(owners)}
    after: list[Any] | None = None
    while True:
        [rows] = await unit.fetch_all(what.listing.bind(given, after=after, limit=_AT_ONCE))
        if rows:
            made = (what.cells(row) for row in rows)
            yield [tuple(cells[name] for name in what.columns) for cells in made]
        if len(rows) < _AT_ONCE:
            return
        after = [getattr(rows[-1], column.key) for column in what.listing.order]
