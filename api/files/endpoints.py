"""`/v1/files`: what people attach to records, and back with it."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from fastapi.responses import FileResponse

from api.edge.dependencies import CurrentCaller, IfMatch, RecordWriter, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.files import records, rules
from api.files.content import path_of, settle
from api.files.receiving import FORM_OVERHEAD, LARGEST_FILE, Uploaded
from api.files.rules import About, AboutNothing, NothingToAttach
from api.files.scanning import FileHarmful, ScannerUnavailable
from api.files.schemas import FORM, FileRead, StorageRead
from api.files.storage import StorageFull, read_storage, require_storage
from api.kernel.constraints import UnknownReference
from api.kernel.errors import CrmError, NotFound, PayloadTooLarge, PreconditionFailed, PreconditionRequired
from api.kernel.links import Links, check_links
from api.kernel.visibility import owners_seen

router = slice_router(prefix="/files", tags=["files"])


class ContentMissing(CrmError):
    """The file's content is not where it should be, as after a restore without its folder."""

    status, code, title = 404, "file_content_missing", "Content missing"
    detail = "The content of this file is not there. Restore the folder of files from a backup, or attach it again."


async def _filter(
    deal_id: UUID | None = None,
    contact_id: UUID | None = None,
    company_id: UUID | None = None,
    activity_id: UUID | None = None,
    message_id: UUID | None = None,
) -> dict[str, Any]:
    return {
        "deal_id": deal_id,
        "contact_id": contact_id,
        "company_id": company_id,
        "activity_id": activity_id,
        "message_id": message_id,
    }


@router.post(
    "",
    status_code=201,
    openapi_extra=FORM,
    max_body_size=LARGEST_FILE + FORM_OVERHEAD,
    responses=problems(
        PayloadTooLarge,
        NothingToAttach,
        AboutNothing,
        UnknownReference,
        FileHarmful,
        ScannerUnavailable,
        StorageFull,
    ),
)
async def attach_file(
    uploaded: Uploaded, caller: RecordWriter, unit: Unit, request: Request, response: Response
) -> FileRead:
    """Attach a file to records that you see, as a form with the field `file`. What it is, its content says."""
    owners = await owners_seen(unit, caller)
    about = About(**uploaded.about.model_dump())
    await check_links(unit, Links(about.deal_id, about.contact_id, about.company_id), owners=owners)
    about = await records.with_what_it_is_of(unit, about, owners=owners, viewer_id=caller.user_id)
    stored = uploaded.stored
    await require_storage(unit, services_of(request), stored.size_bytes)
    given = {
        "name": uploaded.name,
        "media_type": stored.media_type,
        "size_bytes": stored.size_bytes,
        "sha256": stored.sha256,
        "is_scanned": uploaded.is_scanned,
        **asdict(about),
    }
    change = rules.attach(given, now=unit.now, uploaded_by=caller.user_id)
    settle(stored, services_of(request).settings.files_path, caller.organization_id)
    records.write(unit, [change])
    response.headers["Location"] = f"/v1/files/{change.after.id}"
    return FileRead.model_validate(change.after)


@router.get("")
async def list_files(
    caller: CurrentCaller, unit: Unit, page: Page, only: Annotated[dict[str, Any], Depends(_filter)]
) -> PageOf[FileRead]:
    """List files of records that you see, newest first."""
    owners = await owners_seen(unit, caller)
    given = {**only, "owners": None if owners is None else list(owners)}
    rows, cursor = await read_page(unit, records.FILES, given, page=page)
    return PageOf(items=[FileRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/storage")
async def read_file_storage(caller: CurrentCaller, unit: Unit, request: Request) -> StorageRead:
    """Read how much your organization's files take, those in the recycle bin too, and how much more they may."""
    return StorageRead.model_validate(await read_storage(unit, services_of(request)), from_attributes=True)


@router.get("/{file_id}", responses=problems(NotFound))
async def read_file(file_id: UUID, caller: CurrentCaller, unit: Unit) -> FileRead:
    """Read what is known of a file."""
    return FileRead.model_validate(await records.find_file(unit, file_id, owners=await owners_seen(unit, caller)))


@router.get(
    "/{file_id}/content",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The content, to be saved."},
        206: {"content": {"application/octet-stream": {}}, "description": "The part that `Range` asks for."},
        416: {"content": {"text/plain": {}}, "description": "There is no such part."},
        **problems(NotFound, ContentMissing),
    },
)
async def download_file(file_id: UUID, caller: CurrentCaller, unit: Unit, request: Request) -> FileResponse:
    """Download a file. Browsers save it, whatever it is, and show it nowhere."""
    found = await records.find_file(unit, file_id, owners=await owners_seen(unit, caller))
    path = path_of(services_of(request).settings.files_path, caller.organization_id, found.sha256)
    if not path.is_file():  # microseconds
        raise ContentMissing
    return FileResponse(path, media_type=found.media_type, filename=found.name)


@router.delete("/{file_id}", status_code=204, responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def delete_file(file_id: UUID, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> None:
    """Delete a file. It can be restored for 90 days."""
    owners = await owners_seen(unit, caller)
    before = await records.find_file(unit, file_id, owners=owners, expected_version=if_match)
    records.write(unit, [rules.delete(before, now=unit.now)])
