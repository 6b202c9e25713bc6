"""`/v1/consents`: who agreed to be written to, how and when. What is withdrawn stays known."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from fastapi import Response
from sqlalchemy import bindparam, exists
from uuid_utils.compat import uuid7

from api.campaigns import records
from api.campaigns.schemas import ConsentRead, ConsentWrite
from api.db.statements import is_one_of
from api.edge.dependencies import CurrentCaller, RecordWriter, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.changes import Change
from api.kernel.constraints import UnknownReference, unknown
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.kernel.states import as_state, only, rows_of
from api.kernel.visibility import owners_seen
from api.kernel.writing import write
from api.models.campaign import Consent as ConsentRow
from api.models.contact import Contact

router = slice_router(prefix="/consents", tags=["campaigns"])


@dataclass(frozen=True, kw_only=True)
class Consent:
    """That somebody agreed, and until when."""

    id: UUID
    created_at: datetime
    contact_id: UUID
    source: str
    given_at: datetime
    withdrawn_at: datetime | None = None
    noted_by: UUID | None = None


_is_seen = exists().where(
    Contact.organization_id == bindparam("organization_id"),
    Contact.id == ConsentRow.contact_id,
    is_one_of(Contact.owner_id, "owners"),
)
_FILTERS = {
    "id": ConsentRow.id == bindparam("id"),
    "contact_id": ConsentRow.contact_id == bindparam("contact_id"),
    "owners": _is_seen,
}
_CONSENTS = Listing(rows_of(Consent, ConsentRow), filters=_FILTERS, order=(ConsentRow.id,), newest_first=True)
_LOCKED = Listing(rows_of(Consent, ConsentRow).with_for_update(), filters=_FILTERS, order=(ConsentRow.id,))


@router.get("")
async def list_consents(
    caller: CurrentCaller, unit: Unit, page: Page, contact_id: UUID | None = None
) -> PageOf[ConsentRead]:
    """List consents of contacts that you see, newest first."""
    given = {"contact_id": contact_id, "owners": _listed(await owners_seen(unit, caller))}
    rows, cursor = await read_page(unit, _CONSENTS, given, page=page)
    return PageOf(items=[ConsentRead.model_validate(as_state(Consent, row)) for row in rows], next_cursor=cursor)


@router.post("", status_code=201, responses=problems(UnknownReference))
async def create_consent(body: ConsentWrite, caller: RecordWriter, unit: Unit, response: Response) -> ConsentRead:
    """Note that a contact agreed to be written to."""
    owners = await owners_seen(unit, caller)
    if not await records.names(unit, [body.contact_id], owners):
        raise UnknownReference("contact_id", "contact")
    made = Consent(
        id=uuid7(),
        created_at=unit.now,
        contact_id=body.contact_id,
        source=body.source,
        given_at=min(body.given_at or unit.now, unit.now),
        noted_by=caller.user_id,
    )
    unit.explain({"fk_consents_contact_id": unknown("contact_id", "contact")})
    write(unit, [Change(None, made)], {Consent: ConsentRow})
    response.headers["Location"] = f"/v1/consents?contact_id={made.contact_id}"
    return ConsentRead.model_validate(made)


@router.post("/{consent_id}/withdraw", status_code=200, responses=problems(NotFound))
async def withdraw_consent(consent_id: UUID, caller: RecordWriter, unit: Unit) -> ConsentRead:
    """Note that they agree no more."""
    given = {"id": consent_id, "owners": _listed(await owners_seen(unit, caller))}
    [rows] = await unit.fetch_all(_LOCKED.bind(given, after=None, limit=1))
    consent = only(Consent, rows, "consent")
    if consent.withdrawn_at is None:
        after = replace(consent, withdrawn_at=unit.now)
        write(unit, [Change(consent, after)], {Consent: ConsentRow})
        consent = after
    return ConsentRead.model_validate(consent)


def _listed(owners: frozenset[UUID] | None) -> list[UUID] | None:
    return None if owners is None else sorted(owners)
