"""Users that an import brings: made without a sign-in, because a file is no proof of who somebody is."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert
from uuid_utils.compat import uuid7

from api.db.session import across_organizations
from api.imports.batch import Batch
from api.imports.directory import Directory
from api.kernel.event_log import NewEvent
from api.models.person import Person
from api.models.user import User
from contracts.access import DEFAULT_SCOPES, RecordScope, Role
from contracts.events.identity import UserCreated, UserUpdated

#: What an import says without a date of its own about people and teams has been so for as long as anybody asks.
EVER = datetime(1970, 1, 1, tzinfo=UTC)

#: RFC 2606: no mail ever goes there.
_MADE_UP_DOMAIN = "users.invalid"


@dataclass(frozen=True, kw_only=True)
class UserWish:
    """A user to be made; one of e-mail and name is given."""

    email: str | None
    name: str | None
    role: Role = Role.REP


def wish_for(reference: str, role: Role = Role.REP) -> UserWish:
    """The user that a reference (e-mail, or name where there is no @) speaks of."""
    is_email = "@" in reference
    return UserWish(email=reference.lower() if is_email else None, name=None if is_email else reference, role=role)


async def add_users(batch: Batch, directory: Directory, wishes: Sequence[UserWish]) -> list[User]:
    """Make users, and enter them into the directory."""
    users = [_new_user(batch, wish) for wish in wishes]
    if not users:
        return []
    people = [{"id": user.person_id, "email": user.email, "name": user.name, "password_hash": None} for user in users]
    async with across_organizations(batch.session):
        await batch.session.execute(insert(Person), people)
    batch.session.add_all(users)
    await batch.session.flush()
    for user in users:
        directory.users_by_email[user.email.lower()] = user
        directory.users_by_name.setdefault(user.name.lower(), []).append(user)
        created = UserCreated(role=Role(user.role), record_scope=RecordScope(user.record_scope), is_active=True)
        batch.emit(NewEvent(event=created, aggregate_id=user.id, aggregate_version=1, occurred_at=EVER))
    return users


def change_role(batch: Batch, user: User, role: Role) -> None:
    """Give a user another role, with the record scope that goes with it."""
    user.role, user.record_scope = role.value, DEFAULT_SCOPES[role].value
    user.version += 1
    updated = UserUpdated(role=role, record_scope=DEFAULT_SCOPES[role], is_active=user.is_active)
    batch.emit(NewEvent(event=updated, aggregate_id=user.id, aggregate_version=user.version))


def _new_user(batch: Batch, wish: UserWish) -> User:
    name = wish.name or (wish.email or "").split("@")[0]
    return User(
        organization_id=batch.organization_id,
        id=uuid7(),
        version=1,
        person_id=uuid7(),
        email=wish.email or _made_up_address(name),
        name=name,
        role=wish.role.value,
        record_scope=DEFAULT_SCOPES[wish.role].value,
        is_active=True,
    )


def _made_up_address(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{words or 'user'}.{hashlib.sha256(name.lower().encode()).hexdigest()[:8]}@{_MADE_UP_DOMAIN}"
