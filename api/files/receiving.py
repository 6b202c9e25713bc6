"""Taking a file in: stored, looked at and scanned before a connection is taken, gone again when nothing comes of it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.edge.dependencies import Claims
from api.edge.security import AccessClaims
from api.edge.services import Services, services_of
from api.files.content import Stored, folder_of, receive
from api.files.rules import NothingToAttach, safe_name
from api.files.scanning import scan
from api.files.schemas import FileAbout
from api.files.storage import StorageFull, read_storage
from api.kernel.context import Context
from api.kernel.errors import PayloadTooLarge
from contracts.events.envelope import ActorKind

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
    services = services_of(request)
    settings = services.settings
    refuse = await _limit(services, claims, request)
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        refuse(int(length))  # nobody waits for what is refused anyway
    form = await _form(request, refuse)
    try:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise NothingToAttach
        about, name = _about(form), safe_name(upload.filename or "")
        folder = folder_of(settings.files_path, claims.organization_id)
        stored = await receive(upload, folder, name=name, most=settings.file_max_bytes)
    finally:
        await form.close()
    try:
        is_scanned = await scan(stored.path, settings)
        yield Upload(name=name, stored=stored, is_scanned=is_scanned, about=about)
    finally:
        stored.path.unlink(missing_ok=True)


#: The file of the request. Name it before whoever is calling: what comes slowly holds no connection.
Uploaded = Annotated[Upload, Depends(_uploaded)]


async def _limit(services: Services, claims: AccessClaims, request: Request) -> Callable[[int], None]:
    """What refuses a body of so many bytes: larger than any file may be, or than there is room for."""
    context = Context(
        organization_id=claims.organization_id, actor=ActorKind.USER, correlation_id=request.state.correlation_id
    )
    async with services.database.reading(context) as unit:
        left = (await read_storage(unit, services)).left_bytes
    largest = services.settings.file_max_bytes

    def refuse(size: int) -> None:
        if size > largest + FORM_OVERHEAD:
            raise PayloadTooLarge(largest)
        if size > left + FORM_OVERHEAD:
            raise StorageFull(left)

    return refuse


async def _form(request: Request, refuse: Callable[[int], None]) -> FormData:
    """The request's form, refused as soon as too much of it has come: a body need not say how long it is."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise NothingToAttach

    async def body() -> AsyncGenerator[bytes, None]:
        size = 0
        async for part in request.stream():
            size += len(part)
            refuse(size)
            yield part

    try:
        return await MultiPartParser(request.headers, body(), max_files=1, max_fields=10).parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error


def _about(form: FormData) -> FileAbout:
    given = {name: value for name, value in form.multi_items() if name != "file"}
    try:
        return FileAbout.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from error
