"""The columns an import understands. `generic` is the only preset; its column names double as headings."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Entity(StrEnum):
    """What a file's rows are. The order is the order in which an import handles them."""

    PIPELINES = "pipelines"
    USERS = "users"
    COMPANIES = "companies"
    CONTACTS = "contacts"
    DEALS = "deals"
    DEAL_STAGE_HISTORY = "deal_stage_history"
    DEAL_OWNER_HISTORY = "deal_owner_history"
    DEAL_AMOUNT_HISTORY = "deal_amount_history"


#: Files of events of deals; each names its deal in `deal_external_id`.
HISTORIES = (Entity.DEAL_STAGE_HISTORY, Entity.DEAL_OWNER_HISTORY, Entity.DEAL_AMOUNT_HISTORY)
DEAL_FILES = (Entity.DEALS, *HISTORIES)


class ValueKind(StrEnum):
    """How a cell's text is read."""

    TEXT = "text"
    EMAIL = "email"
    INSTANT = "instant"
    DAY = "day"
    AMOUNT = "amount"
    CURRENCY = "currency"
    WHOLE = "whole number"
    COUNTRY = "country"
    STAGE_KIND = "stage kind"
    ROLE = "role"


@dataclass(frozen=True)
class Column:
    """One column of a preset. Text longer than `max_length` is refused, never cut."""

    name: str
    kind: ValueKind = ValueKind.TEXT
    is_required: bool = False
    max_length: int = 200


def _columns(*columns: Column) -> Mapping[str, Column]:
    return {column.name: column for column in columns}


_DEAL_KEY = Column("deal_external_id", is_required=True)

GENERIC: Mapping[Entity, Mapping[str, Column]] = {
    Entity.PIPELINES: _columns(
        Column("pipeline", is_required=True, max_length=120),
        Column("stage", is_required=True, max_length=120),
        Column("position", ValueKind.WHOLE),
        Column("kind", ValueKind.STAGE_KIND),
        Column("target_days", ValueKind.WHOLE),
    ),
    Entity.USERS: _columns(
        Column("email", ValueKind.EMAIL),
        Column("name"),
        Column("role", ValueKind.ROLE),
        Column("team"),
        Column("manager"),
        Column("since", ValueKind.INSTANT),
    ),
    Entity.COMPANIES: _columns(
        Column("external_id"),
        Column("name", is_required=True),
        Column("domain"),
        Column("industry", max_length=120),
        Column("employees", ValueKind.WHOLE),
        Column("country", ValueKind.COUNTRY),
        Column("owner_email"),
    ),
    Entity.CONTACTS: _columns(
        Column("external_id"),
        Column("name", is_required=True),
        Column("email", ValueKind.EMAIL),
        Column("phone", max_length=50),
        Column("company"),
        Column("owner_email"),
        Column("source", max_length=120),
    ),
    Entity.DEALS: _columns(
        Column("external_id", is_required=True),
        Column("title"),
        Column("pipeline", max_length=120),
        Column("stage", is_required=True, max_length=120),
        Column("amount", ValueKind.AMOUNT),
        Column("currency", ValueKind.CURRENCY),
        Column("owner_email"),
        Column("company"),
        Column("contact_email", ValueKind.EMAIL),
        Column("source", max_length=120),
        Column("created_at", ValueKind.INSTANT),
        Column("close_date", ValueKind.DAY),
        Column("closed_at", ValueKind.INSTANT),
        Column("lost_reason", max_length=120),
    ),
    Entity.DEAL_STAGE_HISTORY: _columns(
        _DEAL_KEY,
        Column("stage", is_required=True, max_length=120),
        Column("entered_at", ValueKind.INSTANT, is_required=True),
        Column("actor_email"),
    ),
    Entity.DEAL_OWNER_HISTORY: _columns(
        _DEAL_KEY, Column("owner_email", is_required=True), Column("from", ValueKind.INSTANT, is_required=True)
    ),
    Entity.DEAL_AMOUNT_HISTORY: _columns(
        _DEAL_KEY,
        Column("amount", ValueKind.AMOUNT, is_required=True),
        Column("currency", ValueKind.CURRENCY),
        Column("from", ValueKind.INSTANT, is_required=True),
    ),
}


def entity_of_name(name: str) -> Entity | None:
    """The entity that a form field's or a file's name speaks of; None when it speaks of none."""
    words = name.rsplit("/", 1)[-1].lower().replace("-", "_").replace(" ", "_")
    named = [entity for entity in Entity if entity.value in words]
    return max(named, key=lambda entity: len(entity.value)) if named else None
