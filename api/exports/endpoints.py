"""`/v1/exports/{list}`: a whole list as a file, as far as the caller sees it."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from api.edge.dependencies import CurrentCaller, Unit
from api.edge.routing import slice_router
from api.edge.services import services_of
from api.exports.custom_cells import with_custom
from api.exports.files import MEDIA_TYPES, Format, csv_lines, write_parquet, write_xlsx
from api.exports.lists import LISTS, Exportable, batches
from api.kernel.visibility import owners_seen

router = slice_router(prefix="/exports", tags=["exports"])

_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {media.partition(";")[0]: {"schema": {"type": "string"}} for media in MEDIA_TYPES.values()},
    }
}


@router.get("/{exported}", response_class=Response, responses=_FILES)
async def export_list(
    exported: Exportable,
    request: Request,
    caller: CurrentCaller,
    unit: Unit,
    as_: Annotated[Format, Query(alias="format", description="Cells are text in each of them.")] = Format.CSV,
) -> Response:
    """Download a list with all the rows that you see, in the columns that an import reads.

    Rows that are written meanwhile may be there or not; each other one is there once.
    """
    owners = await owners_seen(unit, caller)
    what = await with_custom(unit, LISTS[exported])
    # the request's own unit ends with the request, before its last rows are sent
    async with services_of(request).database.reading(unit.context) as reading:
        rows = batches(reading, what, owners=owners, viewer_id=caller.user_id)
    if as_ is Format.CSV:
        name = {"Content-Disposition": f'attachment; filename="{exported.value}.csv"'}
        return StreamingResponse(csv_lines(what.columns, rows), media_type=MEDIA_TYPES[as_], headers=name)
    with tempfile.NamedTemporaryFile(prefix="sluice-export-", suffix=f".{as_.value}", delete=False) as stream:
        path = Path(stream.name)
    try:
        await (write_xlsx if as_ is Format.XLSX else write_parquet)(path, what.columns, rows)
    except BaseException:
        path.unlink(missing_ok=True)  # noqa: ASYNC240  # microseconds
        raise
    return FileResponse(
        path,
        media_type=MEDIA_TYPES[as_],
        filename=f"{exported.value}.{as_.value}",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )
