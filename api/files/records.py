"""Statements about files.

Whoever sees one of the records that a file is about sees the file; so does who attached it.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, exists, or_, text
from sqlalchemy.orm import InstrumentedAttribute

from api.db.statements import compiled, is_one_of
from api.files.rules import About, Change, File
from api.kernel.constraints import Problems, UnknownReference, unknown
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.links import LINKED
from api.kernel.listing import Listing
from api.kernel.states import as_state, rows_of
from api.kernel.timelines import SOURCES, Source
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.company import Company
from api.models.contact import Contact
from api.models.conversation import Conversation
from api.models.deal import Deal
from api.models.file import File as FileRow
from api.models.message import Message

_NOUNS = {**LINKED, "activity_id": "activity", "message_id": "message"}
_PROBLEMS: Problems = {f"fk_files_{column}": unknown(column, noun) for column, noun in _NOUNS.items()}

# what a note or a message is about, a file of it is about as well
_ACTIVITY = compiled(
    text("""
select deal_id, contact_id, company_id from activities
where organization_id = :organization_id and id = :id and deleted_at is null
    and (cast(:owners as uuid[]) is null or author_id = any(:owners) or cast(:viewer_id as uuid) = any(mentions))
""")
)
_MESSAGE = compiled(
    text("""
select c.deal_id, c.contact_id, cast(null as uuid) as company_id
from messages as m join conversations as c on c.organization_id = m.organization_id and c.id = m.conversation_id
where m.organization_id = :organization_id and m.id = :id
    and (cast(:owners as uuid[]) is null or c.assignee_id = any(:owners))
""")
)
_HELD = compiled(
    text("select distinct sha256 from files where organization_id = :organization_id and sha256 = any(:hashes)")
)


def _is_about(column: InstrumentedAttribute[UUID | None], model: type[Deal | Contact | Company]) -> ColumnElement[bool]:
    return exists().where(
        model.organization_id == bindparam("organization_id"), model.id == column, is_one_of(model.owner_id, "owners")
    )


_files = rows_of(File, FileRow).where(FileRow.deleted_at.is_(None))
_gone = rows_of(File, FileRow).where(FileRow.deleted_at.is_not(None)).with_for_update(of=FileRow)
_is_of_message = exists().where(
    Message.organization_id == bindparam("organization_id"),
    Message.id == FileRow.message_id,
    Conversation.organization_id == Message.organization_id,
    Conversation.id == Message.conversation_id,
    is_one_of(Conversation.assignee_id, "owners"),
)
#: Which files somebody sees who does not see everything.
IS_SEEN = or_(
    _is_of_message,
    is_one_of(FileRow.uploaded_by, "owners"),
    _is_about(FileRow.deal_id, Deal),
    _is_about(FileRow.contact_id, Contact),
    _is_about(FileRow.company_id, Company),
)
_conditions = {
    "id": FileRow.id == bindparam("id"),
    "owners": IS_SEEN,
    **{name: getattr(FileRow, name) == bindparam(name) for name in _NOUNS},
}
#: Files, the newest first.
FILES = Listing(_files, filters=_conditions, order=(FileRow.id,), newest_first=True)
_LOCKED = Listing(_files.with_for_update(of=FileRow), filters=_conditions, order=(FileRow.id,))
_DELETED = Listing(_gone, filters=_conditions, order=(FileRow.id,))

Owners = Collection[UUID] | None


async def find_file(unit: UnitOfWork, file_id: UUID, *, owners: Owners, expected_version: int | None = None) -> File:
    """A file that the caller sees; locked where a version is expected.

    Raises:
        NotFound: there is none.
        PreconditionFailed: it changed since the caller read it.
    """
    listing = FILES if expected_version is None else _LOCKED
    found = await _one(unit, listing, file_id, owners)
    if expected_version not in (None, found.version):
        raise PreconditionFailed
    return found


async def lock_deleted(unit: UnitOfWork, file_id: UUID, *, owners: Owners) -> File:
    """A file in the bin, if the caller saw it, locked.

    Raises:
        NotFound: there is none.
    """
    return await _one(unit, _DELETED, file_id, owners)


async def _one(unit: UnitOfWork, listing: Listing, file_id: UUID, owners: Owners) -> File:
    given = {"id": file_id, "owners": None if owners is None else list(owners)}
    [rows] = await unit.fetch_all(listing.bind(given, after=None, limit=1))
    if not rows:
        raise NotFound("file")
    return as_state(File, rows[0])


async def with_what_it_is_of(unit: UnitOfWork, about: About, *, owners: Owners, viewer_id: UUID) -> About:
    """What a file is about, with what the note or the message that it is of is about.

    Raises:
        UnknownReference: the caller sees no such note, call, meeting or message.
    """
    seen = None if owners is None else list(owners)
    of = {
        "activity_id": _ACTIVITY.bind(id=about.activity_id, owners=seen, viewer_id=viewer_id),
        "message_id": _MESSAGE.bind(id=about.message_id, owners=seen),
    }
    for column, statement in of.items():
        if getattr(about, column) is None:
            continue
        [found] = await unit.fetch_all(statement)
        if not found:
            raise UnknownReference(column, _NOUNS[column])
        about = replace(about, **{name: getattr(about, name) or getattr(found[0], name) for name in LINKED})
    return about


async def unheld(unit: UnitOfWork, hashes: Collection[str]) -> list[str]:
    """Of these contents, those that no row of the organization refers to."""
    held = {row.sha256 for row in await unit.fetch(_HELD, hashes=list(hashes))} if hashes else set()
    return [one for one in hashes if one not in held]


def write(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what the rules decided."""
    unit.explain(_PROBLEMS)
    write_changes(unit, changes, {File: FileRow})


SOURCES.append(
    Source(
        kinds=("file",),
        scope="files:read",
        table="files",
        at="x.created_at",
        kind="'file'",
        type="'file.attached'",
        actor="x.uploaded_by",
        data="jsonb_build_object('name', x.name, 'media_type', x.media_type, 'size_bytes', x.size_bytes)",
        where="x.deleted_at is null",
    )
)
