"""`/v1/contacts/{id}/personal-data` and `…/erase`, `/v1/erasures`, `/v1/organizations/{id}/archive`."""

import asyncio
import re
import time
from datetime import UTC, datetime
from uuid import UUID

from fastapi import BackgroundTasks, Request, Response
from fastapi.responses import StreamingResponse
from uuid_utils.compat import uuid7

from api.conversations.sending import withdraw
from api.edge.dependencies import Administrator, CurrentCaller, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.files.content import path_of
from api.files.worker import remove_unheld
from api.kernel.auditing import note
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import Row
from api.models.erasure import Erasure
from api.privacy import deletion, records
from api.privacy.archive import archive
from api.privacy.declared import KEPT
from api.privacy.files import remove_mentioning
from api.privacy.schemas import ErasureRead, KeptRead, PersonalData
from contracts.events.relations import ContactErased

contact_router = slice_router(prefix="/contacts", tags=["privacy"])
erasure_router = slice_router(prefix="/erasures", tags=["privacy"])
organization_router = slice_router(prefix="/organizations", tags=["privacy"])


@contact_router.get("/{contact_id}/personal-data", responses=problems(NotFound))
async def show_personal_data(contact_id: UUID, caller: Administrator, unit: Unit) -> PersonalData:
    """Everything that is stored of a contact, for themselves."""
    found = await records.show(unit, contact_id)
    if "contacts" not in found:
        raise NotFound("contact")
    return PersonalData(contact_id=contact_id, made_at=datetime.now(UTC), tables=found)


@contact_router.post("/{contact_id}/erase", responses=problems(NotFound))
async def erase_contact(
    contact_id: UUID, caller: Administrator, unit: Unit, request: Request, background: BackgroundTasks
) -> ErasureRead:
    """Erase a contact everywhere. What was removed where, and what stays and why, is the receipt."""
    contact = await records.lock_contact(unit, contact_id)
    if contact is None:
        raise NotFound("contact")
    mentions = await records.mentions_of(unit, contact)
    began, services = time.time(), services_of(request)
    contents = await records.contents_of(unit, contact_id)
    await withdraw(unit, await records.queued_to(unit, contact_id))
    version = contact.version + 1
    erased = await records.erase(unit, contact_id, version=version)
    struck = await records.strike_out(unit, _pattern(mentions)) if mentions else {}
    files_path, organization_id = services.settings.files_path, caller.organization_id
    files = await asyncio.to_thread(remove_mentioning, files_path, organization_id, mentions)
    # once it is committed: what is undone keeps its contents. What a crash leaves behind, the worker finds in a day
    paths = [path_of(files_path, organization_id, sha256) for sha256 in contents]
    background.add_task(remove_unheld, services.database, organization_id, paths, before=began)
    receipt = {
        "erased": erased,
        "struck_out": struck,
        "import_files": files,
        "kept": [{"where": where, "because": because} for where, because in KEPT],
    }
    made = {"id": uuid7(), "contact_id": contact_id, "erased_by": caller.user_id, "erased_at": unit.now}
    unit.insert(Erasure, {**made, "receipt": receipt, "created_at": unit.now})
    unit.emit(ContactErased(), aggregate_id=contact_id, aggregate_version=version)
    note(unit, "contact.erased", resource="contact", resource_id=contact_id)
    return ErasureRead.model_validate(made | receipt)


@erasure_router.get("")
async def list_erasures(caller: Administrator, unit: Unit, page: Page) -> PageOf[ErasureRead]:
    """Receipts of erasures, newest first."""
    found, next_cursor = await read_page(unit, records.ERASURES, {}, page=page)
    return PageOf(items=[_read(one) for one in found], next_cursor=next_cursor)


@organization_router.get(
    "/{organization_id}/archive",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}, "description": "The archive."}, **problems(NotFound)},
)
async def archive_organization(organization_id: UUID, caller: CurrentCaller, unit: Unit, request: Request) -> Response:
    """Download everything that is stored of your organization, for its owners: tables as JSON lines, and files."""
    if organization_id != caller.organization_id:
        raise NotFound("organization")
    services = services_of(request)
    async with services.database.unit(caller.context) as writing:
        await writing.begin()
        note(writing, "organization.archived", resource="organization", resource_id=organization_id)
    # the request's own unit ends with the request, before the last rows are sent
    async with services.database.reading(caller.context) as reading:
        pieces = archive(reading, organization_id, services.settings.files_path)
    named = {"Content-Disposition": f'attachment; filename="sluice-{organization_id}.zip"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=named)


def _pattern(mentions: list[str]) -> str:
    """A pattern of PostgreSQL's that finds each of these texts."""
    return "|".join(re.sub(r"([^\w\s])", r"\\\1", one) for one in mentions)


def _read(row: Row) -> ErasureRead:
    kept = [KeptRead.model_validate(one) for one in row.receipt["kept"]]
    return ErasureRead(
        id=row.id,
        contact_id=row.contact_id,
        erased_by=row.erased_by,
        erased_at=row.erased_at,
        erased=row.receipt["erased"],
        struck_out=row.receipt["struck_out"],
        import_files=row.receipt["import_files"],
        kept=kept,
    )


routers = (contact_router, erasure_router, organization_router, deletion.router)
