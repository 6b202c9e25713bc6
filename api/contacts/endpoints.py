"""`/v1/contacts`: the contacts a caller sees."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.contacts import repository, service
from api.contacts.repository import ContactFilter
from api.contacts.schemas import ContactCreate, ContactRead, ContactUpdate
from api.edge.dependencies import CurrentCaller, IfMatch, RecordWriter, Session
from api.edge.fields import SearchText
from api.edge.pages import Page, PageOf, fetch_page
from api.edge.routing import problems, slice_router
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.visibility import visible_users
from api.models.contact import Contact
from api.picklists import service as picklists

router = slice_router(prefix="/contacts", tags=["contacts"])

_PLAIN = ContactRead.model_fields.keys() - {"source"}


async def _filter(
    owner_id: UUID | None = None,
    company_id: UUID | None = None,
    q: Annotated[SearchText | None, Query(description="Part of the name or e-mail, in any case.")] = None,
) -> ContactFilter:
    return ContactFilter(owner_id=owner_id, company_id=company_id, text=q)


@router.post("", status_code=201, responses=problems(UnknownReference, service.ContactExternalIdTaken))
async def create_contact(
    body: ContactCreate, caller: RecordWriter, session: Session, response: Response
) -> ContactRead:
    """Create a contact."""
    owner_id = body.owner_id if "owner_id" in body.model_fields_set else caller.user_id
    contact = await service.create_contact(session, caller.context, body=body, owner_id=owner_id)
    response.headers["Location"] = f"/v1/contacts/{contact.id}"
    [answer] = await _answers(session, caller.organization_id, [contact])
    return answer


@router.get("")
async def list_contacts(
    caller: CurrentCaller, session: Session, page: Page, only: Annotated[ContactFilter, Depends(_filter)]
) -> PageOf[ContactRead]:
    """List the contacts you see, newest first."""
    owner_ids = await visible_users(session, caller)
    query = repository.select_contacts(caller.organization_id, owner_ids, only=only)
    contacts, cursor = await fetch_page(session, query, page=page, id_column=Contact.id, newest_first=True)
    return PageOf(items=await _answers(session, caller.organization_id, contacts), next_cursor=cursor)


@router.get("/{contact_id}", responses=problems(NotFound))
async def read_contact(contact_id: UUID, caller: CurrentCaller, session: Session) -> ContactRead:
    """Read a contact."""
    owner_ids = await visible_users(session, caller)
    contact = await repository.get_contact(session, caller.organization_id, contact_id=contact_id, owner_ids=owner_ids)
    if contact is None:
        raise NotFound("contact")
    [answer] = await _answers(session, caller.organization_id, [contact])
    return answer


@router.patch(
    "/{contact_id}",
    responses=problems(
        NotFound, PreconditionFailed, PreconditionRequired, UnknownReference, service.ContactExternalIdTaken
    ),
)
async def update_contact(
    contact_id: UUID, body: ContactUpdate, caller: RecordWriter, session: Session, if_match: IfMatch
) -> ContactRead:
    """Change a contact."""
    contact = await service.update_contact(
        session,
        caller.context,
        contact_id=contact_id,
        owner_ids=await visible_users(session, caller),
        expected_version=if_match,
        changes=body.model_dump(exclude_unset=True),
    )
    [answer] = await _answers(session, caller.organization_id, [contact])
    return answer


async def _answers(session: AsyncSession, organization_id: UUID, contacts: Sequence[Contact]) -> list[ContactRead]:
    """The contacts in order, their source by label."""
    values = {contact.source_id for contact in contacts if contact.source_id is not None}
    labels = await picklists.labels(session, organization_id=organization_id, ids=values)
    return [
        ContactRead(
            **{name: getattr(contact, name) for name in _PLAIN},
            source=None if contact.source_id is None else labels[contact.source_id],
        )
        for contact in contacts
    ]
