"""Statements of the recycle bin: what lies in it, and what is taken out when its time is over."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, func, or_, select, text

from api.db.statements import compiled, is_one_of
from api.files.records import IS_SEEN
from api.kernel.listing import Listing
from api.models.activity import Activity
from api.models.company import Company
from api.models.contact import Contact
from api.models.deal import Deal
from api.models.file import File
from api.models.task import Task

#: How long deleted records can be restored.
KEPT_DAYS = 90


class BinKind(StrEnum):
    """What can be restored."""

    DEAL = "deal"
    TASK = "task"
    ACTIVITY = "activity"
    FILE = "file"
    CONTACT = "contact"
    COMPANY = "company"


_organization: BindParameter[UUID] = bindparam("organization_id")

_deals: Any = select(Deal.id, Deal.title.label("title"), Deal.owner_id, Deal.deleted_at).where(
    Deal.organization_id == _organization, Deal.deleted_at.is_not(None), Deal.purged_at.is_(None)
)
_tasks: Any = select(Task.id, Task.title.label("title"), Task.assignee_id.label("owner_id"), Task.deleted_at).where(
    Task.organization_id == _organization, Task.deleted_at.is_not(None)
)
_activities: Any = select(
    Activity.id,
    func.coalesce(Activity.subject, func.left(Activity.body, 120), Activity.kind).label("title"),
    Activity.author_id.label("owner_id"),
    Activity.deleted_at,
).where(Activity.organization_id == _organization, Activity.deleted_at.is_not(None))
_files: Any = select(File.id, File.name.label("title"), File.uploaded_by.label("owner_id"), File.deleted_at).where(
    File.organization_id == _organization, File.deleted_at.is_not(None)
)


def _named(model: type[Contact | Company]) -> Listing:
    query: Any = select(model.id, model.name.label("title"), model.owner_id, model.deleted_at).where(
        model.organization_id == _organization, model.deleted_at.is_not(None), model.binned.is_not(None)
    )
    return Listing(query, filters={"owners": is_one_of(model.owner_id, "owners")}, order=(model.id,), newest_first=True)


_task_seen = or_(is_one_of(Task.assignee_id, "owners"), is_one_of(Task.created_by, "owners"))

#: What lies in the bin, by kind; the newest record first.
BINS: Mapping[BinKind, Listing] = {
    BinKind.DEAL: Listing(
        _deals, filters={"owners": is_one_of(Deal.owner_id, "owners")}, order=(Deal.id,), newest_first=True
    ),
    BinKind.TASK: Listing(_tasks, filters={"owners": _task_seen}, order=(Task.id,), newest_first=True),
    BinKind.ACTIVITY: Listing(
        _activities,
        filters={"owners": is_one_of(Activity.author_id, "owners")},
        order=(Activity.id,),
        newest_first=True,
    ),
    BinKind.CONTACT: _named(Contact),
    BinKind.COMPANY: _named(Company),
    BinKind.FILE: Listing(_files, filters={"owners": IS_SEEN}, order=(File.id,), newest_first=True),
}

#: As the worker: in which organizations something's time is over.
OVERDUE = compiled(
    text(f"""
select distinct organization_id from (
    select organization_id from deals where purged_at is null and deleted_at < now() - interval '{KEPT_DAYS} days'
    union all
    select organization_id from tasks where deleted_at < now() - interval '{KEPT_DAYS} days'
    union all
    select organization_id from activities where deleted_at < now() - interval '{KEPT_DAYS} days'
    union all
    select organization_id from files where deleted_at < now() - interval '{KEPT_DAYS} days'
    union all
    select organization_id from contacts where deleted_at < now() - interval '{KEPT_DAYS} days'
    union all
    select organization_id from companies where deleted_at < now() - interval '{KEPT_DAYS} days'
) as overdue
""")
)
#: So many of each kind are taken out in one transaction: who works in the organization meanwhile waits for no more.
AT_ONCE = 1_000


def _over(table: str, only: str = "true") -> str:
    """The same ones in every statement of a transaction, whose `now()` stands still."""
    return (
        f"select id from {table} where organization_id = :organization_id and {only}"
        f" and deleted_at < now() - interval '{KEPT_DAYS} days' order by deleted_at, id limit :at_once"
    )


_CONTACTS_OVER, _COMPANIES_OVER = _over("contacts", "binned is not null"), _over("companies", "binned is not null")
_DEALS_OVER = _over("deals", "purged_at is null")
_OF = "organization_id = :organization_id and"
#: Inside an organization, its bin open: takes out what is over. What much refers to leaves its id.
PURGES = tuple(
    compiled(text(statement))
    for statement in (
        *(
            f"delete from record_tags where {_OF} record_kind = '{kind}' and record_id in ({over})"
            for kind, over in (("contact", _CONTACTS_OVER), ("company", _COMPANIES_OVER))
        ),
        (
            "update contacts set name = '(deleted)', email = null, phone = null, custom = '{}', binned = null"
            f" where {_OF} id in ({_CONTACTS_OVER})"
        ),
        (
            "update companies set name = '(deleted)', domain = null, custom = '{}', binned = null"
            f" where {_OF} id in ({_COMPANIES_OVER})"
        ),
        *(f"delete from {table} where {_OF} id in ({_over(table)})" for table in ("tasks", "activities", "files")),
        f"delete from deal_lines where {_OF} deal_id in ({_DEALS_OVER})",
        f"delete from record_tags where {_OF} record_kind = 'deal' and record_id in ({_DEALS_OVER})",
        f"delete from custom_unique_values where {_OF} record_kind = 'deal' and record_id in ({_DEALS_OVER})",
        (
            "update deals set title = '(deleted)', external_id = null, custom = '{}', purged_at = now()"
            f" where {_OF} id in ({_DEALS_OVER})"
        ),
    )
)


def as_owners(owners: frozenset[UUID] | None) -> dict[str, object]:
    """The filter of what a caller sees."""
    return {"owners": None if owners is None else list(owners)}
