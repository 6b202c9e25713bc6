"""Events of custom fields: which fields an organization has, never what it calls them; and of values that changed."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from contracts.events.deals import DealEvent
from contracts.events.envelope import Event
from contracts.events.relations import CompanyEvent, ContactEvent


class CustomFieldEvent(Event):
    """Any event of a custom field: what it is after it."""

    aggregate_type: ClassVar[str] = "custom_field"
    topic: ClassVar[str] = "sluice.relations"

    record_kind: Literal["contact", "company", "deal"]
    value_type: Literal["text", "number", "money", "date", "choice", "choices", "person", "link", "computed"]
    choice_ids: list[str]
    is_required: bool
    is_unique: bool
    is_personal: bool
    is_retired: bool


class CustomFieldCreated(CustomFieldEvent):
    """Records of a kind have one more field."""

    type: ClassVar[str] = "custom_field.created"


class CustomFieldUpdated(CustomFieldEvent):
    """A field changed, or was retired."""

    type: ClassVar[str] = "custom_field.updated"


_CUSTOM = Field(description="Every value that is not personal, as text, by the id of its field.")
_CHANGED = Field(description="Ids of the fields that changed, personal ones too.")


class DealCustomChanged(DealEvent):
    """Values of a deal's custom fields changed."""

    type: ClassVar[str] = "deal.custom.changed"

    custom: dict[str, str] = _CUSTOM
    changed_fields: list[str] = _CHANGED


class ContactCustomChanged(ContactEvent):
    """Values of a contact's custom fields changed."""

    type: ClassVar[str] = "contact.custom.changed"

    custom: dict[str, str] = _CUSTOM
    changed_fields: list[str] = _CHANGED


class CompanyCustomChanged(CompanyEvent):
    """Values of a company's custom fields changed."""

    type: ClassVar[str] = "company.custom.changed"

    custom: dict[str, str] = _CUSTOM
    changed_fields: list[str] = _CHANGED


class ComputedValuesChanged(Event):
    """What is computed of a record is other now: an aggregate of its own, whose id follows from the record's."""

    type: ClassVar[str] = "computed_values.changed"
    aggregate_type: ClassVar[str] = "computed_values"
    topic: ClassVar[str] = "sluice.relations"

    record_kind: Literal["contact", "company", "deal"]
    record_id: UUID
    custom: dict[str, str] = _CUSTOM
