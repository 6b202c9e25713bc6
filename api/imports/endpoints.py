"""HTTP door of imports. Administrators only: an import writes everybody's records."""

import tempfile
from pathlib import Path
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from api.edge.dependencies import Administrator, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.imports import records
from api.imports.error_file import write_error_file
from api.imports.job import as_json, stored_files, try_out
from api.imports.learned import LEARNED, LearnedRead, forget, learn
from api.imports.options import ImportOptions
from api.imports.presets import Entity
from api.imports.revert import ImportNotEnded, RevertRead, revert
from api.imports.schemas import ImportPreview, ImportRead, job_answer, preview_answer
from api.imports.uploads import (
    LARGEST_UPLOAD,
    ImportFileUnusable,
    InvalidImportOptions,
    UnknownEntity,
    Upload,
    Uploaded,
    folder_of,
)
from api.kernel.errors import Forbidden, NotFound, PayloadTooLarge
from api.kernel.hints import hint
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.import_job import ImportJob

router = slice_router(prefix="/imports", tags=["imports"])

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


@router.post(
    "",
    status_code=202,
    response_model=ImportRead | ImportPreview,
    openapi_extra=_FORM,
    max_body_size=LARGEST_UPLOAD + _FORM_OVERHEAD,
    responses=problems(Forbidden, PayloadTooLarge, ImportFileUnusable, UnknownEntity, InvalidImportOptions),
)
async def start_import(
    uploaded: Uploaded, caller: Administrator, unit: Unit, response: Response
) -> ImportRead | ImportPreview:
    """Import files: answers at once, a worker does the rest. With the option `preview` nothing is written."""
    if uploaded.prepared is not None:
        response.status_code = 200
        return await _preview(unit, uploaded)
    job = {
        "id": uploaded.import_id,
        "version": 0,
        "created_by": caller.user_id,
        "state": "queued",
        "options": uploaded.options.model_dump(mode="json"),
        "progress": {},
        "created_at": unit.now,
        "updated_at": unit.now,
    }
    unit.insert(ImportJob, {**job, "files": as_json(uploaded.stored), "warnings": as_json(uploaded.notes)})
    learn(unit, uploaded.files, uploaded.options, confirmed_by=caller.user_id)
    hint(unit, records.WORK)
    response.headers["Location"] = f"/v1/imports/{uploaded.import_id}"
    response.headers["ETag"] = '"0"'
    yet_unknown = dict.fromkeys(("error", "started_at", "completed_at"))
    return job_answer({**job, "files": uploaded.stored, "warnings": uploaded.notes, **yet_unknown})


@router.post(
    "/preview",
    openapi_extra=_FORM,
    max_body_size=LARGEST_UPLOAD + _FORM_OVERHEAD,
    responses=problems(Forbidden, PayloadTooLarge, ImportFileUnusable, UnknownEntity, InvalidImportOptions),
)
async def show_import_preview(uploaded: Uploaded, caller: Administrator, unit: Unit) -> ImportPreview:
    """Show what an import would do: rows as read, what would be created, problems. Nothing is written."""
    return await _preview(unit, uploaded)


@router.get("")
async def list_imports(caller: Administrator, unit: Unit, page: Page) -> PageOf[ImportRead]:
    """List imports, newest first."""
    jobs, cursor = await read_page(unit, records.JOBS, {}, page=page)
    return PageOf(items=[job_answer(job._asdict()) for job in jobs], next_cursor=cursor)


@router.get("/headings")
async def list_learned_headings(
    caller: Administrator, unit: Unit, page: Page, entity: Entity | None = None
) -> PageOf[LearnedRead]:
    """List what headings of files mean, as maps of earlier imports said. The next import proposes it."""
    rows, cursor = await read_page(unit, LEARNED, {"entity": entity}, page=page)
    return PageOf(items=[LearnedRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.delete("/headings/{heading_id}", status_code=204, responses=problems(NotFound))
async def forget_learned_heading(heading_id: UUID, caller: Administrator, unit: Unit) -> None:
    """Forget what a heading means."""
    await forget(unit, heading_id)


@router.get("/{import_id}", responses=problems(NotFound))
async def read_import(import_id: UUID, caller: Administrator, unit: Unit) -> ImportRead:
    """Read an import: its state, its progress, what became of the rows."""
    return job_answer((await _job(unit, import_id))._asdict())


@router.get(
    "/{import_id}/errors",
    response_class=FileResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "Failed rows."}, **problems(NotFound)},
)
async def read_import_errors(import_id: UUID, request: Request, caller: Administrator, unit: Unit) -> FileResponse:
    """Download the failed rows as CSV, each with what is wrong and what to do; mended, it can be imported again."""
    job = await _job(unit, import_id)
    folder = folder_of(services_of(request).settings.files_path, caller.organization_id, import_id)
    with tempfile.NamedTemporaryFile(prefix="sluice-errors-", suffix=".csv", delete=False) as stream:
        path = Path(stream.name)
    await write_error_file(
        path,
        records.iterate_problems(unit, import_id),
        files=stored_files(job.files, folder),
        options=ImportOptions.model_validate(job.options),
    )
    return FileResponse(
        path,
        media_type="text/csv; charset=utf-8",
        filename=f"import-{import_id}-errors.csv",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


@router.post("/{import_id}/revert", responses=problems(Forbidden, NotFound, ImportNotEnded))
async def revert_import(import_id: UUID, caller: Administrator, unit: Unit) -> RevertRead:
    """Take back what an import created and nobody has touched or built on since, some thousands at a time.

    Ask again while `remaining` is not 0. Contacts and companies go into the recycle bin, products are active no more.
    What the import changed stays so, and what it set up on the way: people, pipelines, stages, picklist values.
    """
    return await revert(unit, import_id)


async def _preview(unit: UnitOfWork, uploaded: Upload) -> ImportPreview:
    if uploaded.prepared is None:
        raise InvalidImportOptions("This is no preview.", pointer="/options/preview")
    batch = await try_out(unit, uploaded.prepared)
    return preview_answer(uploaded.prepared.plan.files, batch)


async def _job(unit: UnitOfWork, import_id: UUID) -> Row:
    found = await unit.fetch(records.JOB, import_id=import_id)
    if not found:
        raise NotFound("import")
    return found[0]
