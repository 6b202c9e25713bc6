"""HTTP door of imports. Administrators only: an import writes everybody's records."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import FileResponse
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile

from api.edge.dependencies import Administrator, Session
from api.edge.pages import Page, PageOf
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.imports.options import ImportOptions
from api.imports.presets import Entity, entity_of_name
from api.imports.repository import list_jobs
from api.imports.schemas import ImportPreview, ImportRead
from api.imports.service import (
    LARGEST_UPLOAD,
    ImportFileUnusable,
    IncomingFile,
    as_read,
    create_import,
    preview_import,
    write_errors,
)
from api.kernel.errors import Forbidden, NotFound, PayloadTooLarge, Unprocessable
from api.kernel.rows import find
from api.models.import_job import ImportJob

router = slice_router(prefix="/imports", tags=["imports"])

#: Form fields that hold a file without saying what its rows are; its name then has to.
_ANY_FILE = ("file", "files")
_FORM_OVERHEAD = 1024 * 1024

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "options": {
                            "type": "string",
                            "description": "JSON, see ImportOptions.",
                            "example": '{"create_missing": true, "map": {"deals": {"Deal name": "title"}}}',
                        },
                        **{entity.value: {"type": "string", "format": "binary"} for entity in Entity},
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Files whose names say what their rows are, such as deals.csv.",
                        },
                    },
                }
            }
        },
    }
}


class UnknownEntity(Unprocessable):
    """A file that does not say what its rows are."""

    code = "import_entity_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"It is not clear what the rows of {name!r} are. Send the file in a form field called"
            f" {', '.join(entity.value for entity in Entity)}, or name it so.",
            pointer=f"/files/{name}",
        )


class InvalidImportOptions(Unprocessable):
    """Options that do not fit their schema."""

    code = "import_options_invalid"


@router.post(
    "",
    status_code=202,
    response_model=ImportRead | ImportPreview,
    openapi_extra=_FORM,
    max_body_size=LARGEST_UPLOAD + _FORM_OVERHEAD,
    responses=problems(Forbidden, PayloadTooLarge, ImportFileUnusable, UnknownEntity, InvalidImportOptions),
)
async def start_import(
    request: Request, response: Response, caller: Administrator, session: Session
) -> ImportRead | ImportPreview:
    """Import files: answers at once, a worker does the rest. With the option `preview` nothing is written."""
    async with _form(request) as (incoming, options):
        if options.preview:
            response.status_code = 200
            return await preview_import(session, caller.context, incoming=incoming, options=options)
        files_path = services_of(request).settings.files_path
        job = await create_import(session, caller.context, incoming=incoming, options=options, files_path=files_path)
    response.headers["Location"] = f"/v1/imports/{job.id}"
    response.headers["ETag"] = f'"{job.version}"'
    return job


@router.post(
    "/preview",
    openapi_extra=_FORM,
    max_body_size=LARGEST_UPLOAD + _FORM_OVERHEAD,
    responses=problems(Forbidden, PayloadTooLarge, ImportFileUnusable, UnknownEntity, InvalidImportOptions),
)
async def show_import_preview(request: Request, caller: Administrator, session: Session) -> ImportPreview:
    """Show what an import would do: rows as read, what would be created, problems. Nothing is written."""
    async with _form(request) as (incoming, options):
        return await preview_import(session, caller.context, incoming=incoming, options=options)


@router.get("")
async def list_imports(caller: Administrator, session: Session, page: Page) -> PageOf[ImportRead]:
    """List imports, newest first."""
    jobs, cursor = await list_jobs(session, caller.organization_id, page=page)
    return PageOf(items=[as_read(job) for job in jobs], next_cursor=cursor)


@router.get("/{import_id}", responses=problems(NotFound))
async def read_import(import_id: UUID, caller: Administrator, session: Session) -> ImportRead:
    """Read an import: its state, its progress, what became of the rows."""
    job = await find(session, ImportJob, organization_id=caller.organization_id, id=import_id, noun="import")
    return as_read(job)


@router.get(
    "/{import_id}/errors",
    response_class=FileResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "Failed rows."}, **problems(NotFound)},
)
async def read_import_errors(
    import_id: UUID, request: Request, caller: Administrator, session: Session
) -> FileResponse:
    """Download the failed rows as CSV, each with what is wrong and what to do; mended, it can be imported again."""
    job = await find(session, ImportJob, organization_id=caller.organization_id, id=import_id, noun="import")
    path = await write_errors(session, job, files_path=services_of(request).settings.files_path)
    return FileResponse(
        path,
        media_type="text/csv; charset=utf-8",
        filename=f"import-{import_id}-errors.csv",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[tuple[list[IncomingFile], ImportOptions]]:
    """The form's files and options; the files are open for as long as the context is."""
    async with request.form() as form:
        options = _options(form.get("options"))
        incoming = [_incoming(field, value) for field, value in form.multi_items() if isinstance(value, UploadFile)]
        if not incoming:
            raise InvalidImportOptions("The form holds no file.", pointer="/files")
        yield incoming, options


def _incoming(field: str, upload: UploadFile) -> IncomingFile:
    name = upload.filename or field
    entity = entity_of_name(name) if field in _ANY_FILE else entity_of_name(field) or entity_of_name(name)
    if entity is None:
        raise UnknownEntity(name)
    return IncomingFile(name, entity, upload)


def _options(value: object) -> ImportOptions:
    if value is None:
        return ImportOptions()
    try:
        return ImportOptions.model_validate_json(value if isinstance(value, str) else "")
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(part) for part in first["loc"])
        raise InvalidImportOptions(f"{where}: {first['msg']}", pointer=f"/options/{where}") from error
