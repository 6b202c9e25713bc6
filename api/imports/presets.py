"""The columns an import understands; their names double as headings. Other products' headings: `vendors`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Entity(StrEnum):
    """What a file's rows are. The order is the order in which an import handles them."""

    PIPELINES = "pipelines"
    USERS = "users"
    PRODUCTS = "products"
    COMPANIES = "companies"
    CONTACTS = "contacts"
    DEALS = "deals"
    DEAL_STAGE_HISTORY = "deal_stage_history"
    DEAL_OWNER_HISTORY = "deal_owner_history"
    DEAL_AMOUNT_HISTORY = "deal_amount_history"
    DEAL_LINE_ITEMS = "deal_line_items"
    ACTIVITIES = "activities"
    NOTES = "notes"
    TASKS = "tasks"


#: Files of events of deals; each names its deal in `deal_external_id`.
HISTORIES = (Entity.DEAL_STAGE_HISTORY, Entity.DEAL_OWNER_HISTORY, Entity.DEAL_AMOUNT_HISTORY)
DEAL_FILES = (Entity.DEALS, *HISTORIES)
#: Files of which all rows of a deal belong together.
GROUPED = (*HISTORIES, Entity.DEAL_LINE_ITEMS)
#: Files of what people did and are to do.
DOINGS = (Entity.ACTIVITIES, Entity.NOTES, Entity.TASKS)


class ValueKind(StrEnum):
    """How a cell's text is read."""

    TEXT = "text"
    EMAIL = "email"
    INSTANT = "instant"
    DUE = "instant to come"
    DAY = "day"
    AMOUNT = "amount"
    NUMBER = "number"
    CURRENCY = "currency"
    WHOLE = "whole number"
    COUNTRY = "country"
    STAGE_KIND = "stage kind"
    ROLE = "role"
    USER = "user"
    STATUS = "status"
    FLAG = "yes or no"


@dataclass(frozen=True)
class Column:
    """One column. Text longer than `max_length` is refused, never cut.

    `is_name`: its text refers to something by name, so blanks in it do not count. `is_title`: it names one thing, so
    that a word like "none" may well be its name.
    """

    name: str
    kind: ValueKind = ValueKind.TEXT
    is_required: bool = False
    max_length: int = 200
    is_name: bool = False
    is_title: bool = False


def _columns(*columns: Column) -> Mapping[str, Column]:
    return {column.name: column for column in columns}


_DEAL_KEY = Column("deal_external_id", is_required=True)
_STAGE = Column("stage", is_required=True, max_length=120, is_name=True)
_OWNER = Column("owner_email", ValueKind.USER)
_COMPANY = Column("company", is_name=True, is_title=True)
_TAGS = Column("tags", max_length=3_200, is_title=True)
_SOURCE = Column("source", max_length=120, is_name=True)
_IS_DELETED = Column("is_deleted", ValueKind.FLAG)

_ABOUT = (
    Column("deal_external_id"),
    Column("contact_external_id"),
    Column("contact_email", ValueKind.EMAIL),
    _COMPANY,
    Column("company_external_id"),
)
_BODY = Column("body", max_length=20_000, is_title=True)
_AUTHOR = Column("author_email", ValueKind.USER)

GENERIC: Mapping[Entity, Mapping[str, Column]] = {
    Entity.PIPELINES: _columns(
        Column("pipeline", is_required=True, max_length=120, is_name=True),
        _STAGE,
        Column("position", ValueKind.WHOLE),
        Column("kind", ValueKind.STAGE_KIND),
        Column("target_days", ValueKind.WHOLE),
    ),
    Entity.USERS: _columns(
        Column("email", ValueKind.EMAIL),
        Column("name", is_name=True, is_title=True),
        Column("role", ValueKind.ROLE),
        Column("team", is_name=True),
        Column("manager", ValueKind.USER),
        Column("since", ValueKind.INSTANT),
    ),
    Entity.PRODUCTS: _columns(
        Column("code", max_length=120),
        Column("name", is_required=True, is_name=True, is_title=True),
        Column("unit_price", ValueKind.AMOUNT),
        Column("currency", ValueKind.CURRENCY),
        Column("is_active", ValueKind.FLAG),
        _IS_DELETED,
    ),
    Entity.COMPANIES: _columns(
        Column("external_id"),
        Column("name", is_required=True, is_name=True, is_title=True),
        Column("domain"),
        Column("industry", max_length=120, is_name=True),
        Column("employees", ValueKind.WHOLE),
        Column("country", ValueKind.COUNTRY),
        _OWNER,
        _TAGS,
        _IS_DELETED,
    ),
    Entity.CONTACTS: _columns(
        Column("external_id"),
        Column("name", is_required=True, is_name=True, is_title=True),
        Column("first_name", is_name=True, is_title=True),
        Column("last_name", is_name=True, is_title=True),
        Column("email", ValueKind.EMAIL),
        Column("phone", max_length=50),
        Column("more_emails", max_length=2_000),
        Column("more_phones", max_length=1_000),
        Column("handles", max_length=2_000),
        _COMPANY,
        Column("company_external_id"),
        _OWNER,
        _SOURCE,
        _TAGS,
        _IS_DELETED,
    ),
    Entity.DEALS: _columns(
        Column("external_id", is_required=True),
        Column("title", is_title=True),
        Column("pipeline", max_length=120, is_name=True),
        _STAGE,
        Column("status", ValueKind.STATUS),
        Column("is_closed", ValueKind.FLAG),
        Column("is_won", ValueKind.FLAG),
        Column("amount", ValueKind.AMOUNT),
        Column("currency", ValueKind.CURRENCY),
        _OWNER,
        _COMPANY,
        Column("company_external_id"),
        Column("contact_email", ValueKind.EMAIL),
        Column("contact_external_id"),
        _SOURCE,
        Column("created_at", ValueKind.INSTANT),
        Column("close_date", ValueKind.DAY),
        Column("closed_at", ValueKind.INSTANT),
        Column("won_at", ValueKind.INSTANT),
        Column("lost_at", ValueKind.INSTANT),
        Column("lost_reason", max_length=120, is_name=True),
        _TAGS,
        _IS_DELETED,
    ),
    Entity.DEAL_STAGE_HISTORY: _columns(
        _DEAL_KEY,
        _STAGE,
        Column("entered_at", ValueKind.INSTANT, is_required=True),
        Column("actor_email", ValueKind.USER),
        Column("field"),
        _IS_DELETED,
    ),
    Entity.DEAL_OWNER_HISTORY: _columns(
        _DEAL_KEY,
        Column("owner_email", ValueKind.USER, is_required=True),
        Column("from", ValueKind.INSTANT, is_required=True),
    ),
    Entity.DEAL_AMOUNT_HISTORY: _columns(
        _DEAL_KEY,
        Column("amount", ValueKind.AMOUNT, is_required=True),
        Column("currency", ValueKind.CURRENCY),
        Column("from", ValueKind.INSTANT, is_required=True),
    ),
    Entity.DEAL_LINE_ITEMS: _columns(
        _DEAL_KEY,
        Column("product_code", max_length=120),
        Column("product", is_name=True, is_title=True),
        Column("name", is_title=True),
        Column("quantity", ValueKind.NUMBER),
        Column("unit_price", ValueKind.AMOUNT),
        Column("currency", ValueKind.CURRENCY),
        Column("discount_percent", ValueKind.NUMBER),
        _IS_DELETED,
    ),
    Entity.ACTIVITIES: _columns(
        Column("external_id"),
        Column("kind", is_required=True, max_length=20, is_title=True),
        Column("subject", is_title=True),
        _BODY,
        Column("took_place_at", ValueKind.INSTANT),
        Column("duration_seconds", ValueKind.WHOLE),
        Column("direction", max_length=20, is_title=True),
        _AUTHOR,
        *_ABOUT,
        _IS_DELETED,
    ),
    Entity.NOTES: _columns(
        Column("external_id"),
        Column("body", is_required=True, max_length=20_000, is_title=True),
        Column("took_place_at", ValueKind.INSTANT),
        _AUTHOR,
        *_ABOUT,
        _IS_DELETED,
    ),
    Entity.TASKS: _columns(
        Column("external_id"),
        Column("title", is_required=True, is_title=True),
        _BODY,
        Column("created_at", ValueKind.INSTANT),
        Column("due_at", ValueKind.DUE),
        Column("remind_at", ValueKind.DUE),
        Column("recurrence", max_length=500),
        Column("completed_at", ValueKind.INSTANT),
        Column("assignee_email", ValueKind.USER),
        *_ABOUT,
        _IS_DELETED,
    ),
}

#: A required column -> columns that together do instead of it.
INSTEAD: Mapping[tuple[Entity, str], tuple[str, ...]] = {(Entity.CONTACTS, "name"): ("first_name", "last_name")}

#: Names that other products give to the files of their exports.
_FOREIGN = {
    "opportunity": Entity.DEALS,
    "opportunities": Entity.DEALS,
    "deal": Entity.DEALS,
    "deal data": Entity.DEALS,
    "opportunityhistory": Entity.DEAL_STAGE_HISTORY,
    "opportunityfieldhistory": Entity.DEAL_STAGE_HISTORY,
    "deal stage data": Entity.DEAL_STAGE_HISTORY,
    "deal property history data": Entity.DEAL_STAGE_HISTORY,
    "account": Entity.COMPANIES,
    "accounts": Entity.COMPANIES,
    "organizations": Entity.COMPANIES,
    "contact": Entity.CONTACTS,
    "people": Entity.CONTACTS,
    "user": Entity.USERS,
    "product": Entity.PRODUCTS,
    "opportunitylineitem": Entity.DEAL_LINE_ITEMS,
    "line item": Entity.DEAL_LINE_ITEMS,
    "line items": Entity.DEAL_LINE_ITEMS,
}


def entity_of_name(name: str) -> Entity | None:
    """The entity that a form field's or a file's name speaks of; None when it speaks of none."""
    words = name.rsplit("/", 1)[-1].lower().replace("-", "_").replace(" ", "_")
    named = [entity for entity in Entity if entity.value in words]
    if named:
        return max(named, key=lambda entity: len(entity.value))
    return _FOREIGN.get(re.sub(r"[\d_ ]+", " ", words.rsplit(".", 1)[0]).strip())
