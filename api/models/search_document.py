"""What the search looks through."""

from uuid import UUID

from sqlalchemy.orm import Mapped

from api.models.base import TenantRow


class SearchDocument(TenantRow):
    """One contact, company or deal by all its words, its id the record's. Triggers keep it."""

    __tablename__ = "search_documents"

    kind: Mapped[str]
    owner_id: Mapped[UUID | None]
    title: Mapped[str]
    detail: Mapped[str | None]
    words: Mapped[str]
