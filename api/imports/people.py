"""Users that an import brings: made without a sign-in, because a file is no proof of who somebody is."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from api.edge.entitlements import Limit, room_left
from api.identity.people import add_people
from api.identity.records import write_users
from api.identity.rules import NewUser, User, create_user
from api.imports.batch import Batch
from api.imports.directory import Directory
from contracts.access import Role
from contracts.settings import BillingSettings

#: What an import says without a date of its own about people and teams has been so for as long as anybody asks.
EVER = datetime(1970, 1, 1, tzinfo=UTC)
#: An import makes and changes users as an administrator would: owners are not its affair.
ACTS_AS = Role.ADMIN

#: RFC 2606: no mail ever goes there.
_MADE_UP_DOMAIN = "users.invalid"


def new_user(email: str | None, name: str | None, role: Role = Role.REP) -> NewUser:
    """A user to be made; one of e-mail and name is given."""
    known_as = name or (email or "").split("@")[0]
    return NewUser(email=email or _made_up_address(known_as), name=known_as, role=role)


def user_named(reference: str, role: Role = Role.REP) -> NewUser:
    """The user that a reference (an e-mail address, or a name where there is no @) speaks of."""
    return new_user(reference, None, role) if "@" in reference else new_user(None, reference, role)


async def add_users(batch: Batch, directory: Directory, new: Sequence[NewUser]) -> list[User]:
    """Make users, and enter them into the directory. For whom the plan has no seat is not active."""
    seated = await _seated(batch, new)
    changes = [create_user(one, batch.unit.now, by=ACTS_AS, occurred_at=EVER) for one in seated]
    users = [change.after for change in changes]
    if users:
        await add_people(batch.unit, users)
        write_users(batch.unit, changes)
        directory.enter(*users)
    return users


async def _seated(batch: Batch, new: Sequence[NewUser]) -> list[NewUser]:
    room = await room_left(batch.unit, BillingSettings(), Limit.SEATS) if new else None
    if room is None:
        return list(new)
    if len(new) > room:
        batch.warnings.append(
            f"{len(new) - room} people are not active, as the plan has no seats for them; their history is theirs."
            " Activate them on the page People when there are seats."
        )
    return [*new[:room], *(replace(one, is_active=False) for one in new[room:])]


def _made_up_address(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{words or 'user'}.{hashlib.sha256(name.lower().encode()).hexdigest()[:8]}@{_MADE_UP_DOMAIN}"
