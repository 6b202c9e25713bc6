"""The lists that can be exported: one statement each, in keyset order, its columns named as an import's are.

A record without an id of another system is exported with our own, by which an import finds it again.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, and_, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from api.exports.doing_lists import ACTIVITIES, NOTES, TASKS
from api.exports.parts import ORGANIZATION, ExportedList, cells_of, is_row, listing_of, major_units, own_id, tags_cell
from api.exports.sales_lists import LINE_ITEMS, PRODUCTS
from api.kernel.records import Owners
from api.kernel.unit_of_work import UnitOfWork
from api.models.company import Company
from api.models.contact import Contact
from api.models.contact_channel import ContactChannel
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.picklist_value import PicklistValue
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from api.models.user import User

_AT_ONCE = 5_000


class Exportable(StrEnum):
    """What can be exported."""

    COMPANIES = "companies"
    CONTACTS = "contacts"
    DEALS = "deals"
    DEAL_STAGE_HISTORY = "deal_stage_history"
    PIPELINES = "pipelines"
    USERS = "users"
    PRODUCTS = "products"
    DEAL_LINE_ITEMS = "deal_line_items"
    NOTES = "notes"
    ACTIVITIES = "activities"
    TASKS = "tasks"


_owner, _actor = aliased(User), aliased(User)
_source, _reason, _industry = aliased(PicklistValue), aliased(PicklistValue), aliased(PicklistValue)


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


_companies = (
    select(
        Company.id,
        own_id(Company).label("external_id"),
        Company.name,
        Company.domain,
        _industry.label.label("industry"),
        Company.employee_count.label("employees"),
        Company.country,
        _owner.email.label("owner_email"),
        tags_cell("company", Company).label("tags"),
        Company.employee_count,
        Company.created_at,
        Company.custom,
    )
    .outerjoin(_industry, is_row(_industry, Company, Company.industry_id))
    .outerjoin(_owner, is_row(_owner, Company, Company.owner_id))
    .where(Company.organization_id == ORGANIZATION)
)
_contacts = (
    select(
        Contact.id,
        own_id(Contact).label("external_id"),
        Contact.name,
        Contact.email,
        Contact.phone,
        _more("email").label("more_emails"),
        _more("phone").label("more_phones"),
        _more("handle").label("handles"),
        Company.name.label("company"),
        own_id(Company).label("company_external_id"),
        _owner.email.label("owner_email"),
        _source.label.label("source"),
        tags_cell("contact", Contact).label("tags"),
        Contact.created_at,
        Contact.custom,
    )
    .outerjoin(Company, is_row(Company, Contact, Contact.company_id))
    .outerjoin(_source, is_row(_source, Contact, Contact.source_id))
    .outerjoin(_owner, is_row(_owner, Contact, Contact.owner_id))
    .where(Contact.organization_id == ORGANIZATION)
)
_deals = (
    select(
        Deal.id,
        own_id(Deal).label("external_id"),
        Deal.title,
        Pipeline.name.label("pipeline"),
        Stage.name.label("stage"),
        Deal.status,
        Deal.amount_minor,
        Deal.currency,
        _owner.email.label("owner_email"),
        Company.name.label("company"),
        own_id(Company).label("company_external_id"),
        Contact.email.label("contact_email"),
        own_id(Contact).label("contact_external_id"),
        _source.label.label("source"),
        Deal.created_at,
        Deal.close_date,
        case((Deal.status != "open", func.coalesce(Deal.closed_at, Deal.stage_entered_at))).label("closed_at"),
        _reason.label.label("lost_reason"),
        tags_cell("deal", Deal).label("tags"),
        Deal.stage_entered_at,
        Deal.custom,
    )
    .join(Pipeline, is_row(Pipeline, Deal, Deal.pipeline_id))
    .join(Stage, is_row(Stage, Deal, Deal.stage_id))
    .outerjoin(Company, is_row(Company, Deal, Deal.company_id))
    .outerjoin(Contact, is_row(Contact, Deal, Deal.contact_id))
    .outerjoin(_source, is_row(_source, Deal, Deal.source_id))
    .outerjoin(_reason, is_row(_reason, Deal, Deal.lost_reason_id))
    .outerjoin(_owner, is_row(_owner, Deal, Deal.owner_id))
    .where(Deal.organization_id == ORGANIZATION, Deal.deleted_at.is_(None))
)
_ENTRIES = ("deal.created", "deal.stage.changed", "deal.closed", "deal.reopened")
_entries = (
    select(
        EventLogRow.aggregate_id,
        EventLogRow.occurred_at,
        EventLogRow.aggregate_version,
        own_id(Deal).label("deal_external_id"),
        Stage.name.label("stage"),
        EventLogRow.occurred_at.label("entered_at"),
        _actor.email.label("actor_email"),
    )
    .join(Deal, is_row(Deal, EventLogRow, EventLogRow.aggregate_id))
    .join(Stage, is_row(Stage, EventLogRow, cast(EventLogRow.data["to_stage_id"].astext, Stage.id.type)))
    .outerjoin(_actor, and_(is_row(_actor, EventLogRow, EventLogRow.actor_id), EventLogRow.actor == "user"))
    .where(
        EventLogRow.organization_id == ORGANIZATION,
        EventLogRow.aggregate_type == "deal",
        EventLogRow.type.in_(_ENTRIES),
        Deal.deleted_at.is_(None),
    )
)
_pipelines = (
    select(Stage.id, Pipeline.name.label("pipeline"), Stage.name.label("stage"), Stage.position, Stage.kind)
    .add_columns(Stage.target_days)
    .join(Pipeline, is_row(Pipeline, Stage, Stage.pipeline_id))
    .where(Stage.organization_id == ORGANIZATION, ~Stage.is_retired, Pipeline.is_active)
)
_users = select(User.id, User.email, User.name, User.role).where(User.organization_id == ORGANIZATION)


LISTS: Mapping[Exportable, ExportedList] = {
    Exportable.COMPANIES: ExportedList(
        listing_of(_companies, Company.id, owner=Company.owner_id),
        ("external_id", "name", "domain", "industry", "employees", "country", "owner_email", "tags"),
        noun="company",
    ),
    Exportable.CONTACTS: ExportedList(
        listing_of(_contacts, Contact.id, owner=Contact.owner_id),
        (
            "external_id", "name", "email", "phone", "more_emails", "more_phones", "handles", "company",
            "company_external_id", "owner_email", "source", "tags",
        ),
        noun="contact",
    ),
    Exportable.DEALS: ExportedList(
        listing_of(_deals, Deal.id, owner=Deal.owner_id),
        (
            "external_id", "title", "pipeline", "stage", "status", "amount", "currency", "owner_email", "company",
            "company_external_id", "contact_email", "contact_external_id", "source", "created_at", "close_date",
            "closed_at", "lost_reason", "tags",
        ),
        {"amount": lambda row: major_units(row.amount_minor, row.currency)},
        noun="deal",
    ),
    Exportable.DEAL_STAGE_HISTORY: ExportedList(
        listing_of(
            _entries,
            EventLogRow.aggregate_id,
            EventLogRow.occurred_at,
            EventLogRow.aggregate_version,
            owner=Deal.owner_id,
        ),
        ("deal_external_id", "stage", "entered_at", "actor_email"),
    ),
    Exportable.PIPELINES: ExportedList(
        listing_of(_pipelines, Stage.id), ("pipeline", "stage", "position", "kind", "target_days")
    ),
    Exportable.USERS: ExportedList(listing_of(_users, User.id), ("email", "name", "role")),
    Exportable.PRODUCTS: PRODUCTS,
    Exportable.DEAL_LINE_ITEMS: LINE_ITEMS,
    Exportable.NOTES: NOTES,
    Exportable.ACTIVITIES: ACTIVITIES,
    Exportable.TASKS: TASKS,
}  # fmt: skip


async def batches(
    unit: UnitOfWork, what: ExportedList, *, owners: Owners, viewer_id: UUID | None
) -> AsyncIterator[list[Sequence[Any]]]:
    """The cells of all rows of a list that a viewer sees, column by column, some thousands at a time."""
    given: dict[str, Any] = {}
    if owners is not None and what.listing.is_narrowed_by("owners"):  # products, stages and people everybody sees
        given["owners"] = list(owners)
        if what.is_by_viewer:
            given["viewer_id"] = viewer_id
    after: list[Any] | None = None
    while True:
        [rows] = await unit.fetch_all(what.listing.bind(given, after=after, limit=_AT_ONCE))
        if rows:
            yield cells_of(what, rows)
        if len(rows) < _AT_ONCE:
            return
        after = [getattr(rows[-1], column.key) for column in what.listing.order]
