"""Rules of users and their sign-ins: who may make whom what, that an organization keeps an owner, which token is good.

No I/O. An import makes and changes users by the same rules, as an administrator who is no owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel.changes import Change, Versioned, revised
from api.kernel.errors import Conflict, Forbidden
from contracts.access import DEFAULT_SCOPES, RecordScope, Role
from contracts.addresses import spelled
from contracts.events.identity import UserCreated, UserUpdated


class EmailTaken(Conflict):
    """The organization has a user with this address."""

    code, detail = "email_taken", "A user of this organization has this e-mail address."


class OwnersAreForOwners(Forbidden):
    """Only an owner may make, change or disable an owner."""

    code, detail = "owners_are_for_owners", "Only an owner may make or change an owner."


class LastOwner(Conflict):
    """An organization keeps at least one active owner."""

    code, detail = "last_owner", "This is the organization's last active owner."


class PasswordNotYours(Conflict):
    """The person uses this password for another organization too."""

    code = "password_not_yours"
    detail = "This person also belongs to another organization; only they may change their password."


@dataclass(frozen=True, kw_only=True)
class User(Versioned):
    """One member. E-mail and name are what this organization knows of the person."""

    person_id: UUID
    email: str
    name: str
    role: Role
    record_scope: RecordScope
    is_active: bool = True
    sign_ins: int = 0

    @property
    def shown_version(self) -> int:
        """What readers hold on to: a sign-in is an event and so a version, but no change of what they read."""
        return self.version - self.sign_ins


@dataclass(frozen=True, kw_only=True)
class NewUser:
    """A user to be made; `person_id` when the person is known."""

    email: str
    name: str
    role: Role = Role.REP
    record_scope: RecordScope | None = None
    person_id: UUID | None = None
    is_active: bool = True
    id: UUID = field(default_factory=uuid7)


def create_user(new: NewUser, now: datetime, *, by: Role | None, occurred_at: datetime | None = None) -> Change[User]:
    """Make a user. `by` is the role of whoever does it; nobody's at a sign-up.

    That the address is nobody else's here is the unique index's affair.

    Raises:
        OwnersAreForOwners: as it says.
    """
    require_may_grant(new.role, by=by)
    scope = new.record_scope or DEFAULT_SCOPES[new.role]
    user = User(
        id=new.id,
        version=1,
        created_at=now,
        updated_at=now,
        person_id=new.person_id or uuid7(),
        email=spelled(new.email),
        name=new.name,
        role=new.role,
        record_scope=scope,
        is_active=new.is_active,
    )
    return Change(None, user, UserCreated(role=new.role, record_scope=scope, is_active=new.is_active), occurred_at)


def update_user(
    user: User,
    now: datetime,
    *,
    changes: Mapping[str, Any],
    by: Role,
    has_other_owner: bool = False,
    has_new_password: bool = False,
) -> Change[User] | None:
    """Change name, role, scope or standing (`changes` holds only what was sent), or the password.

    None: nothing changes. A new role brings its usual scope unless one is named.

    Raises:
        OwnersAreForOwners, LastOwner: as they say.
    """
    if changes.get("role", user.role) != user.role:
        changes = {"record_scope": DEFAULT_SCOPES[Role(changes["role"])]} | dict(changes)
    changed = {name: value for name, value in changes.items() if getattr(user, name) != value}
    if not changed and not has_new_password:
        return None
    after = revised(user, now, **changed)
    for role in (user.role, after.role):
        require_may_grant(role, by=by)
    is_leaving = user.role is Role.OWNER and ("role" in changed or changed.get("is_active") is False)
    if is_leaving and not has_other_owner:
        raise LastOwner
    event = UserUpdated(role=after.role, record_scope=after.record_scope, is_active=after.is_active)
    return Change(user, after, event)


def require_may_grant(role: Role, *, by: Role | None) -> None:
    """Insist that whoever has the role `by` may make somebody a `role`.

    Raises:
        OwnersAreForOwners: as it says.
    """
    if role is Role.OWNER and by not in (Role.OWNER, None):
        raise OwnersAreForOwners


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """One sign-in. Refresh token number `generation` is the active one."""

    id: UUID
    user_id: UUID
    expires_at: datetime
    rotated_at: datetime
    generation: int = 1
    revoked_at: datetime | None = None
    revoked_because: str | None = None
    address: str | None = None
    user_agent: str | None = None
    has_second_factor: bool = False


class Ended(StrEnum):
    """Why sign-ins end."""

    LOGOUT = "logout"
    PASSWORD = "password"  # noqa: S105 # a reason
    DISABLED = "disabled"
    REUSE = "reuse"
    REVOKED = "revoked"
    SECOND_FACTOR = "second_factor"


def refresh(
    sign_in: SignIn, now: datetime, *, generation: int, is_active: bool, grace: timedelta
) -> Change[SignIn] | None:
    """Exchange the refresh token of a generation; `is_active` says whether the user is. None: it is over already.

    A token is good once. Its immediate predecessor gets the same active token again for a short while, because an
    answer may be lost; anything older is a copy in other hands, and ends the sign-in.
    """
    if sign_in.revoked_at is not None or sign_in.expires_at <= now or not is_active:
        return None
    if generation == sign_in.generation:
        return Change(sign_in, replace(sign_in, generation=generation + 1, rotated_at=now))
    if generation == sign_in.generation - 1 and now - sign_in.rotated_at <= grace:
        return Change(sign_in, sign_in)
    return Change(sign_in, replace(sign_in, revoked_at=now, revoked_because=Ended.REUSE))
