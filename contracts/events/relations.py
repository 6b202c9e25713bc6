"""Events of contacts and companies: who owns them and how they hang together, never who they are."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event


class ContactEvent(Event):
    """Any event of a contact."""

    aggregate_type: ClassVar[str] = "contact"
    topic: ClassVar[str] = "sluice.relations"


class _ContactState(ContactEvent):
    company_id: UUID | None
    owner_id: UUID | None
    source_id: UUID | None = Field(description="Value of the organization's `source` picklist.")


class ContactCreated(_ContactState):
    """A contact exists."""

    type: ClassVar[str] = "contact.created"


class ContactUpdated(_ContactState):
    """A contact changed; the full non-personal state, and which fields changed (personal ones by name only)."""

    type: ClassVar[str] = "contact.updated"

    changed_fields: list[str]


class ContactDeleted(_ContactState):
    """A contact went into the recycle bin."""

    type: ClassVar[str] = "contact.deleted"


class ContactRestored(_ContactState):
    """A deleted contact is there again."""

    type: ClassVar[str] = "contact.restored"


class ContactMerged(ContactEvent):
    """A contact is part of another one now; what referred to it refers to that."""

    type: ClassVar[str] = "contact.merged"

    survivor_id: UUID


class ContactUnmerged(ContactEvent):
    """A contact that was part of another one is one by itself again."""

    type: ClassVar[str] = "contact.unmerged"

    survivor_id: UUID


class ContactErased(ContactEvent):
    """Everything that named the contact was erased on their demand. The contact stays, nameless."""

    type: ClassVar[str] = "contact.erased"


class CompanyEvent(Event):
    """Any event of a company."""

    aggregate_type: ClassVar[str] = "company"
    topic: ClassVar[str] = "sluice.relations"


class _CompanyState(CompanyEvent):
    owner_id: UUID | None
    industry_id: UUID | None = Field(description="Value of the organization's `industry` picklist.")
    employee_count: int | None = Field(ge=0)
    country: str | None = Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")


class CompanyCreated(_CompanyState):
    """A company exists."""

    type: ClassVar[str] = "company.created"


class CompanyUpdated(_CompanyState):
    """A company changed; the full non-personal state, and which fields changed."""

    type: ClassVar[str] = "company.updated"

    changed_fields: list[str]


class CompanyDeleted(_CompanyState):
    """A company went into the recycle bin."""

    type: ClassVar[str] = "company.deleted"


class CompanyRestored(_CompanyState):
    """A deleted company is there again."""

    type: ClassVar[str] = "company.restored"


class CompanyMerged(CompanyEvent):
    """A company is part of another one now; what referred to it refers to that."""

    type: ClassVar[str] = "company.merged"

    survivor_id: UUID


class CompanyUnmerged(CompanyEvent):
    """A company that was part of another one is one by itself again."""

    type: ClassVar[str] = "company.unmerged"

    survivor_id: UUID
