"""Notes, calls, meetings and tasks as lists to export: who sees which is said where they are listed."""

from typing import Any

from sqlalchemy import Uuid, and_, bindparam, or_, select
from sqlalchemy.orm import aliased

from api.db.statements import is_one_of
from api.exports.parts import ORGANIZATION, ExportedList, is_row, own_id
from api.kernel.listing import Listing
from api.models.activity import Activity
from api.models.company import Company
from api.models.contact import Contact
from api.models.deal import Deal
from api.models.task import Task
from api.models.user import User

_author, _assignee = aliased(User), aliased(User)
_viewer = bindparam("viewer_id", type_=Uuid)
_ABOUT = ("deal_external_id", "contact_external_id", "contact_email", "company", "company_external_id")


def _about(query: Any, model: type[Activity | Task]) -> Any:  # noqa: ANN401 # a statement under composition
    """A statement with what its rows are about, as far as that is still there."""
    return (
        query.add_columns(
            own_id(Deal).label("deal_external_id"),
            own_id(Contact).label("contact_external_id"),
            Contact.email.label("contact_email"),
            Company.name.label("company"),
            own_id(Company).label("company_external_id"),
        )
        .outerjoin(Deal, and_(is_row(Deal, model, model.deal_id), Deal.deleted_at.is_(None)))
        .outerjoin(Contact, is_row(Contact, model, model.contact_id))
        .outerjoin(Company, is_row(Company, model, model.company_id))
        .where(model.organization_id == ORGANIZATION, model.deleted_at.is_(None))
    )


_activities = _about(
    select(
        Activity.id,
        Activity.id.label("external_id"),
        Activity.kind,
        Activity.subject,
        Activity.body,
        Activity.took_place_at,
        Activity.duration_seconds,
        Activity.direction,
        _author.email.label("author_email"),
    ).outerjoin(_author, is_row(_author, Activity, Activity.author_id)),
    Activity,
)
_tasks = _about(
    select(
        Task.id,
        Task.id.label("external_id"),
        Task.title,
        Task.body,
        Task.created_at,
        Task.due_at,
        Task.remind_at,
        Task.recurrence,
        Task.completed_at,
        _assignee.email.label("assignee_email"),
    ).outerjoin(_assignee, is_row(_assignee, Task, Task.assignee_id)),
    Task,
)
_of_activities = {
    "owners": or_(is_one_of(Activity.author_id, "owners"), _viewer == Activity.mentions.any_()),
    "viewer_id": _viewer.is_not(None),
}
_of_tasks = {"owners": or_(is_one_of(Task.assignee_id, "owners"), is_one_of(Task.created_by, "owners"))}

NOTES = ExportedList(
    Listing(_activities.where(Activity.kind == "note"), filters=_of_activities, order=(Activity.id,)),
    ("external_id", "body", "took_place_at", "author_email", *_ABOUT),
    is_by_viewer=True,
)
ACTIVITIES = ExportedList(
    Listing(_activities.where(Activity.kind != "note"), filters=_of_activities, order=(Activity.id,)),
    (
        *("external_id", "kind", "subject", "body", "took_place_at", "duration_seconds", "direction", "author_email"),
        *_ABOUT,
    ),
    is_by_viewer=True,
)
TASKS = ExportedList(
    Listing(_tasks, filters=_of_tasks, order=(Task.id,)),
    (
        *("external_id", "title", "body", "created_at", "due_at", "remind_at", "recurrence", "completed_at"),
        *("assignee_email", *_ABOUT),
    ),
)
