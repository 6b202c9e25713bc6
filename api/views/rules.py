"""Rules of saved views. No I/O. Who made a view changes it; whom it is shared with reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.db.values import JsonList
from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Forbidden
from api.kernel.filters import check

KINDS = ("contact", "company", "deal", "task")


@dataclass(frozen=True, kw_only=True)
class View(Versioned):
    """One saved view."""

    name: str
    record_kind: str
    filter: list[Any]
    sort: str | None = None
    columns: list[str]
    owner_id: UUID
    team_id: UUID | None = None
    is_shared: bool = False


Change = changes.Change[View]


def create(given: Mapping[str, Any], *, now: datetime, owner_id: UUID) -> Change:
    """A new view.

    Raises:
        BadFilter: its filter is none.
    """
    values = _stored(given)
    return Change(None, View(id=uuid7(), version=1, created_at=now, updated_at=now, owner_id=owner_id, **values))


def update(view: View, given: Mapping[str, Any], *, now: datetime, caller_id: UUID) -> Change | None:
    """The same view otherwise; None where nothing differs.

    Raises:
        Forbidden: it is somebody else's.
        BadFilter: its filter is none.
    """
    check_owner(view, caller_id)
    wanted = {name: value for name, value in _stored(given).items() if getattr(view, name) != value}
    return Change(view, revised(view, now, **wanted)) if wanted else None


def check_owner(view: View, caller_id: UUID) -> None:
    """Whether somebody may change or delete a view.

    Raises:
        Forbidden: it is somebody else's.
    """
    if view.owner_id != caller_id:
        raise Forbidden("Only who made a view may change it. Save one of your own.")


def _stored(given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given)
    if "filter" in values:
        values["filter"] = JsonList(list(one) for one in check(values["filter"]))
    if "columns" in values:
        values["columns"] = JsonList(values["columns"])
    return values
