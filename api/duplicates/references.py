"""What refers to contacts and companies, and goes with them when they are merged.

Every foreign key to `contacts` or `companies` has a line here; a test compares with PostgreSQL's catalogue.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.events.activities import ActivityUpdated
from contracts.events.conversations import ConversationLinked
from contracts.events.deals import DealUpdated
from contracts.events.envelope import Event
from contracts.events.files import FileUpdated
from contracts.events.relations import ContactUpdated
from contracts.events.tasks import TaskUpdated

Told = Callable[[Mapping[str, Any]], Event]


@dataclass(frozen=True)
class Reference:
    """Rows of a table that refer to a record by a column. `told`: the event that says so, of rows that have events.

    `unique`: with which other columns the reference is unique; a row whose like the survivor has is kept aside, or,
    where others refer to it (`is_kept`), forbids the merge.
    """

    table: str
    column: str
    told: Told | None = None
    unique: Sequence[str] = ()
    is_kept: bool = False


def _says(event: type[Event], column: str | None) -> Told:
    """The event of a row after its reference moved: its facts, and that this column changed."""
    changed = {} if column is None else {"changed_fields": [column]}

    def told(row: Mapping[str, Any]) -> Event:
        facts = {name: row[name] for name in event.model_fields if name in row}
        if "is_recurring" in event.model_fields:
            facts["is_recurring"] = row["recurrence"] is not None
        return event.model_validate(facts | changed)

    return told


#: Tags name records of several kinds, so no foreign key leads from them.
_TAGS = Reference("record_tags", "record_id", unique=("tag_id",))

REFERENCES: Mapping[str, Sequence[Reference]] = {
    "contact": (
        Reference("deals", "contact_id", _says(DealUpdated, "contact_id")),
        Reference("tasks", "contact_id", _says(TaskUpdated, "contact_id")),
        Reference("activities", "contact_id", _says(ActivityUpdated, "contact_id")),
        Reference("files", "contact_id", _says(FileUpdated, "contact_id")),
        Reference("conversations", "contact_id", _says(ConversationLinked, None)),
        Reference("channel_identities", "contact_id"),
        Reference("campaign_recipients", "contact_id", unique=("campaign_id",), is_kept=True),
        Reference("consents", "contact_id"),
        Reference("scores", "contact_id"),
        Reference("contact_channels", "contact_id", unique=("kind", "key")),
        _TAGS,
    ),
    "company": (
        Reference("campaign_recipients", "company_id"),
        Reference("contacts", "company_id", _says(ContactUpdated, "company_id")),
        Reference("deals", "company_id", _says(DealUpdated, "company_id")),
        Reference("tasks", "company_id", _says(TaskUpdated, "company_id")),
        Reference("activities", "company_id", _says(ActivityUpdated, "company_id")),
        Reference("files", "company_id", _says(FileUpdated, "company_id")),
        _TAGS,
    ),
}
