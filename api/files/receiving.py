"""Taking a file in: stored, looked at and scanned before a connection is taken, gone again when nothing comes of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from api.edge.dependencies import Claims
from api.edge.services import services_of
from api.files.content import Stored, folder_of, receive
from api.files.rules import NothingToAttach, safe_name
from api.files.scanning import scan
from api.files.schemas import FileAbout
from api.kernel.errors import PayloadTooLarge

#: Of any file, whatever the setting says.
LARGEST_FILE = 512 * 1024 * 1024
FORM_OVERHEAD = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that was taken in, and what the form says of it."""

    name: str
    stored: Stored
    is_scanned: bool
    about: FileAbout


async def _uploaded(request: Request, claims: Claims) -> AsyncIterator[Upload]:
    settings = services_of(request).settings
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.file_max_bytes + FORM_OVERHEAD:
        raise PayloadTooLarge(settings.file_max_bytes)  # nobody waits for what is refused anyway
    async with request.form(max_files=1, max_fields=10) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise NothingToAttach
        about, name = _about(form), safe_name(upload.filename or "")
        folder = folder_of(settings.files_path, claims.organization_id)
        stored = await receive(upload, folder, name=name, most=settings.file_max_bytes)
    try:
        is_scanned = await scan(stored.path, settings)
        yield Upload(name=name, stored=stored, is_scanned=is_scanned, about=about)
    finally:
        stored.path.unlink(missing_ok=True)


#: The file of the request. Name it before whoever is calling: what comes slowly holds no connection.
Uploaded = Annotated[Upload, Depends(_uploaded)]


def _about(form: FormData) -> FileAbout:
    given = {name: value for name, value in form.multi_items() if name != "file"}
    try:
        return FileAbout.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from error
