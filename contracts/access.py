"""Roles and record scopes: what a person may do, and whose records they see (in lists and in metrics alike)."""

from enum import StrEnum


class Role(StrEnum):
    """A person's role in one organization."""

    OWNER = "owner"
    ADMIN = "admin"
    MANAGER = "manager"
    REP = "rep"
    ANALYST = "analyst"


class RecordScope(StrEnum):
    """Whose records a person sees: their own, their teams', their teams' and all teams below, or everybody's."""

    OWN = "own"
    TEAM = "team"
    SUBTREE = "subtree"
    ALL = "all"


DEFAULT_SCOPES: dict[Role, RecordScope] = {
    Role.OWNER: RecordScope.ALL,
    Role.ADMIN: RecordScope.ALL,
    Role.ANALYST: RecordScope.ALL,
    Role.MANAGER: RecordScope.SUBTREE,
    Role.REP: RecordScope.OWN,
}
