"""Rules of files. No I/O."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Unprocessable
from contracts.events.files import FileAttached, FileDeleted, FileRestored

_LONGEST_NAME = 200
#: Separators of paths, what shells and Windows refuse, and controls: those that turn the direction of writing hide an
#: extension (`invoice\u202efdp.exe` reads as a PDF).
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


class NothingToAttach(Unprocessable):
    """The request holds no file."""

    code, detail, pointer = "nothing_to_attach", "Send one file in the form field called file.", "/file"


class AboutNothing(Unprocessable):
    """A file is about something."""

    code = "about_nothing"
    detail = "Say what the file is about: deal_id, contact_id, company_id, activity_id or message_id."


@dataclass(frozen=True, kw_only=True)
class About:
    """The records that a file is about."""

    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None
    activity_id: UUID | None = None
    message_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class File(Versioned):
    """A file of records."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str
    is_scanned: bool
    uploaded_by: UUID | None
    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None
    activity_id: UUID | None = None
    message_id: UUID | None = None
    deleted_at: datetime | None = None


Change = changes.Change[File]

_FACTS = ("uploaded_by", "deal_id", "contact_id", "company_id", "activity_id", "message_id", "size_bytes")


def safe_name(given: str) -> str:
    """A name that is one on every system, and reads as what it is."""
    bare = unicodedata.normalize("NFC", given.replace("\\", "/")).rpartition("/")[2]
    clean = re.sub(r"\s+", " ", _UNSAFE.sub("", bare)).strip(" .")
    if _RESERVED.match(clean):
        clean = f"_{clean}"
    if len(clean) > _LONGEST_NAME:
        ending = PurePosixPath(clean).suffix[:20]
        clean = clean[: _LONGEST_NAME - len(ending)].rstrip(" .") + ending
    return clean or "file"


def attach(given: dict[str, Any], *, now: datetime, uploaded_by: UUID | None) -> Change:
    """A file that was taken in.

    Raises:
        AboutNothing: it says of no record that it is about it.
    """
    made = File(id=uuid7(), version=1, created_at=now, updated_at=now, uploaded_by=uploaded_by, **given)
    if not any(getattr(made, name) for name in _FACTS if name.endswith("_id")):
        raise AboutNothing
    return Change(None, made, FileAttached(**_facts(made)))


def delete(before: File, *, now: datetime) -> Change:
    """Into the bin."""
    after = revised(before, now, deleted_at=now)
    return Change(before, after, FileDeleted(**_facts(after)))


def restore(before: File, *, now: datetime) -> Change:
    """Out of the bin."""
    after = revised(before, now, deleted_at=None)
    return Change(before, after, FileRestored(**_facts(after)))


def _facts(one: File) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _FACTS}
