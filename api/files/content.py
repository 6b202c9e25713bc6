"""Contents of files: in a folder per organization, by their hash, so that the same content lies there once.

Only Sluice's user may read them. What a file is, its content says; its name only decides between types that begin
alike, such as a spreadsheet and a text document of Office.
"""

import asyncio
import codecs
import hashlib
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import puremagic
from starlette.datastructures import UploadFile
from uuid_utils.compat import uuid7

from api.kernel.errors import PayloadTooLarge

_FOLDER = "attached"
_BLOCK = 1 << 20
_HEAD = 1 << 13
_UNKNOWN = "application/octet-stream"
#: Text is no content that says more of itself, so that its name may.
_TEXTS = frozenset({"text/plain", "text/csv", "text/markdown", "text/calendar", "text/vcard", "application/json"})
#: Only a day's old content without a row is nobody's: an upload stores first, then writes its row.
GRACE_SECONDS = 24 * 60 * 60


@dataclass(frozen=True)
class Stored:
    """Content that was taken in whole, where nothing refers to yet."""

    path: Path
    size_bytes: int
    sha256: str
    media_type: str


def folder_of(files_path: Path, organization_id: UUID) -> Path:
    """Where an organization's contents are."""
    return files_path / _FOLDER / str(organization_id)


def path_of(files_path: Path, organization_id: UUID, sha256: str) -> Path:
    """Where a content is."""
    return folder_of(files_path, organization_id) / sha256[:2] / sha256


async def receive(upload: UploadFile, folder: Path, *, name: str, most: int) -> Stored:
    """Take content in, under a name that nobody else has.

    Raises:
        PayloadTooLarge: it has more than `most` bytes. What was written is gone.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # microseconds
    folder.mkdir(mode=0o700, exist_ok=True)  # noqa: ASYNC240  # as above
    path = folder / f"incoming-{uuid7()}"
    size, digest, head = 0, hashlib.sha256(), b""
    try:
        with path.open("wb") as stream:  # a local disk is quicker than a thread
            path.chmod(0o600)
            while block := await upload.read(_BLOCK):
                size += len(block)
                if size > most:
                    raise PayloadTooLarge(most)
                head = head or block[:_HEAD]
                digest.update(block)
                stream.write(block)
            stream.flush()
            await asyncio.to_thread(os.fsync, stream.fileno())  # but what it has not written yet takes long
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Stored(path, size, digest.hexdigest(), media_type_of(head, name))


def settle(stored: Stored, files_path: Path, organization_id: UUID) -> None:
    """Move content to where its hash says; the same content that is there already is replaced by itself."""
    path = path_of(files_path, organization_id, stored.sha256)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stored.path.replace(path)


def media_type_of(head: bytes, name: str) -> str:
    """What content that begins so is. The name decides only between what it can be."""
    named = mimetypes.guess_type(name)[0] or ""
    if not head:
        return named if named in _TEXTS else "text/plain"
    try:
        found = [one.mime_type for one in puremagic.magic_string(head) if one.mime_type]
    except puremagic.PureError:
        found = []
    if named in found:
        return named
    if not found and _is_text(head):
        return named if named in _TEXTS else "text/plain"
    return found[0] if found else _UNKNOWN


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def organizations(files_path: Path) -> list[UUID]:
    """Whose contents there are."""
    return [UUID(folder.name) for folder in (files_path / _FOLDER).glob("*-*-*-*-*") if folder.is_dir()]


def old(files_path: Path, organization_id: UUID, *, before: float) -> list[Path]:
    """Contents, and uploads that broke off, that nobody has written since an instant."""
    found = folder_of(files_path, organization_id)
    paths = [*found.glob("incoming-*"), *found.glob("??/*")]
    return [path for path in paths if is_old(path, before=before)]


def is_old(path: Path, *, before: float) -> bool:
    """Whether something is there, and nobody has written it since an instant."""
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False
