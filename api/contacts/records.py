"""What a contact is."""

from api.kernel.records import RecordKind
from api.models.contact import Contact
from contracts.events.custom_fields import ContactCustomChanged
from contracts.events.relations import ContactCreated, ContactUpdated

CONTACTS = RecordKind(
    model=Contact,
    noun="contact",
    created=ContactCreated,
    updated=ContactUpdated,
    custom_changed=ContactCustomChanged,
    labels={"source": "source"},
    references={"company_id": "company"},
    searched=(Contact.name, Contact.email),
    filters=("owner_id", "company_id"),
)
