"""Rules of contacts. Events tell which fields changed; what names anybody stays in the row."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.contacts import repository
from api.contacts.schemas import ContactCreate
from api.kernel.constraints import Problems, explained, unknown
from api.kernel.context import Context
from api.kernel.errors import Conflict, NotFound, PreconditionFailed
from api.kernel.event_log import append
from api.kernel.owners import require_owner
from api.models.contact import Contact
from api.picklists.service import Picklist, find_or_create
from contracts.events.relations import ContactCreated, ContactUpdated


class ContactExternalIdTaken(Conflict):
    """Another contact has this id of another system."""

    code = "external_id_taken"

    def __init__(self, external_id: str | None) -> None:
        self.external_id = external_id
        super().__init__(f"Another contact has the external_id {external_id!r}.")


_REFERENCES = {
    "fk_contacts_company_id": unknown("company_id", "company"),
    "fk_contacts_owner_id": unknown("owner_id", "active user"),
}


async def create_contact(
    session: AsyncSession, context: Context, *, body: ContactCreate, owner_id: UUID | None
) -> Contact:
    """Create a contact.

    Raises:
        UnknownReference: something the body refers to is none of the organization's.
        ContactExternalIdTaken: another contact has it.
    """
    await require_owner(session, context, owner_id=owner_id)
    contact = Contact(
        organization_id=context.organization_id,
        id=uuid7(),
        version=0,
        name=body.name,
        email=body.email,
        phone=body.phone,
        company_id=body.company_id,
        source_id=await _source_id(session, context, label=body.source),
        owner_id=owner_id,
        external_id=body.external_id,
    )
    session.add(contact)
    with explained(_problems(body.external_id)):
        await append(session, ContactCreated(**_state(contact)), context=context, aggregate=contact)
    return contact


async def update_contact(
    session: AsyncSession,
    context: Context,
    *,
    contact_id: UUID,
    owner_ids: repository.Owners,
    expected_version: int,
    changes: Mapping[str, Any],
) -> Contact:
    """Change a contact; where nothing differs, nothing is written. `changes` are the sent keys of `ContactUpdate`.

    Raises:
        NotFound: no such contact that the caller sees.
        PreconditionFailed: it changed since the caller read it.
        UnknownReference, ContactExternalIdTaken: as in `create_contact`.
    """
    contact = await repository.get_contact(
        session, context.organization_id, contact_id=contact_id, owner_ids=owner_ids, locked=True
    )
    if contact is None:
        raise NotFound("contact")
    if contact.version != expected_version:
        raise PreconditionFailed
    wanted = dict(changes)
    if "source" in wanted:
        wanted["source_id"] = await _source_id(session, context, label=wanted.pop("source"))
    changed = {name: value for name, value in wanted.items() if getattr(contact, name) != value}
    if not changed:
        return contact
    if "owner_id" in changed:
        await require_owner(session, context, owner_id=changed["owner_id"])
    for name, value in changed.items():
        setattr(contact, name, value)
    event = ContactUpdated(**_state(contact), changed_fields=sorted(changed))
    with explained(_problems(contact.external_id)):
        await append(session, event, context=context, aggregate=contact)
    return contact


def _state(contact: Contact) -> dict[str, Any]:
    """The facts that its events carry."""
    return {
        "company_id": contact.company_id,
        "owner_id": contact.owner_id,
        "source_id": contact.source_id,
    }


def _problems(external_id: str | None) -> Problems:
    return _REFERENCES | {"uq_contacts_external_id": lambda: ContactExternalIdTaken(external_id)}


async def _source_id(session: AsyncSession, context: Context, *, label: str | None) -> UUID | None:
    if label is None:
        return None
    return await find_or_create(session, context, picklist=Picklist.SOURCE, label=label)
