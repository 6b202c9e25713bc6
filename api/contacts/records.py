"""What a contact is."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from api.contacts import channels
from api.db.statements import Bound
from api.kernel import tags
from api.kernel.records import RecordKind
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.contact import Contact
from contracts.events.custom_fields import ContactCustomChanged
from contracts.events.relations import ContactCreated, ContactDeleted, ContactRestored, ContactUpdated


class _Contacts(RecordKind):
    """Contacts keep addresses in rows beside their own."""

    def asking(self, given: Mapping[str, Any]) -> list[Bound]:
        return channels.asking(given)

    def read(self, given: Mapping[str, Any], answers: Sequence[list[Row]]) -> dict[str, Any]:
        return channels.read(given, answers)

    def keep(self, unit: UnitOfWork, record_id: UUID, beside: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in beside.items() if name != "tags"}
        if kept:
            channels.keep(unit, record_id, kept)
        if "tags" in beside:
            tags.put_on(unit, "contact", record_id, beside["tags"])

    def follow(self, state: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        return channels.follow(state, changed)


CONTACTS = _Contacts(
    model=Contact,
    noun="contact",
    created=ContactCreated,
    updated=ContactUpdated,
    custom_changed=ContactCustomChanged,
    deleted=ContactDeleted,
    restored=ContactRestored,
    labels={"source": "source"},
    references={"company_id": "company"},
    searched=(Contact.name, Contact.email),
    filters=("owner_id", "company_id"),
    beside={
        **{name: channels.listed(kind) for name, (kind, _) in channels.LISTS.items()},
        "tags": tags.tags_of("contact", Contact.organization_id, Contact.id),
    },
    refusals=(channels.BadPhone, channels.BadChannels),
)
