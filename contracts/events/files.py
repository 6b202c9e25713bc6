"""Events of files: that something was attached to which records, and its size; never its name or what it says."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event


class FileEvent(Event):
    """Any event of a file: its state after it."""

    aggregate_type: ClassVar[str] = "file"
    topic: ClassVar[str] = "sluice.activities"

    uploaded_by: UUID | None
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    activity_id: UUID | None
    message_id: UUID | None
    size_bytes: int = Field(ge=0)


class FileAttached(FileEvent):
    """A file was attached to records."""

    type: ClassVar[str] = "file.attached"


class FileUpdated(FileEvent):
    """A file is about another record, as when two were merged."""

    type: ClassVar[str] = "file.updated"

    changed_fields: list[str]


class FileDeleted(FileEvent):
    """A file was deleted."""

    type: ClassVar[str] = "file.deleted"


class FileRestored(FileEvent):
    """A deleted file is there again."""

    type: ClassVar[str] = "file.restored"
