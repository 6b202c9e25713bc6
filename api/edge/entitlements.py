"""What an organization's plan allows, and the 402 where it has all of that already.

Billing writes the table; whoever adds one more of what is limited asks here first, in the unit that adds it. Where no
billing is set up, everything is allowed.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text

from api.db.statements import Statement, compiled
from api.kernel.errors import CrmError
from api.kernel.unit_of_work import UnitOfWork
from contracts.settings import BillingSettings


class Limit(StrEnum):
    """What plans limit: a state (seats, accounts, megabytes of files) or what is used in a month (drafts)."""

    SEATS = "seats"
    BD_ACCOUNTS = "bd_accounts"
    AI_DRAFTS = "ai_drafts"
    STORAGE_MB = "storage_mb"


#: What an organization may have that bought nothing.
UNPAID: Mapping[Limit, int] = {Limit.SEATS: 3, Limit.BD_ACCOUNTS: 1, Limit.AI_DRAFTS: 0, Limit.STORAGE_MB: 1_000}


class PlanLimitReached(CrmError):
    """The plan allows no more of these."""

    status, code, title = 402, "plan_limit_reached", "The plan allows no more"

    def __init__(self, limit: Limit, allowed: int, used: int) -> None:
        what = limit.value.replace("_", " ")
        super().__init__(
            f"Your plan allows {allowed} {what}, and {used} are used. An owner or admin can change the plan on the page"
            " Plan and seats, or by PATCH /v1/billing/subscription."
        )


# one organization's row is locked, so that two who add the last one at once come after each other
_LIMITS = """
select case when falls_back_at <= clock_timestamp() then fallback else limits end as limits
from entitlements where organization_id = :organization_id
"""
_ALLOWED, _SHOWN = compiled(text(f"{_LIMITS} for update")), compiled(text(_LIMITS))
_LOCK = compiled(text("select pg_advisory_xact_lock(hashtextextended('plan:' || cast(:organization_id as text), 0))"))

#: How many of what is limited an organization has; of drafts, those of this month.
USED: Mapping[Limit, Statement] = {
    Limit.SEATS: compiled(
        text("select count(*) as used from users where organization_id = :organization_id and is_active")
    ),
    Limit.BD_ACCOUNTS: compiled(
        text("""
select count(*) as used from bd_accounts
where organization_id = :organization_id and state not in ('banned', 'revoked')
""")
    ),
    Limit.AI_DRAFTS: compiled(
        text("""
select count(*) as used from drafts
where organization_id = :organization_id and state <> 'failed'
    and created_at >= date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'
""")
    ),
    Limit.STORAGE_MB: compiled(
        text("""
select ceil(coalesce(sum(size_bytes), 0) / 1e6)::bigint as used from files where organization_id = :organization_id
""")
    ),
}


async def require_room(unit: UnitOfWork, settings: BillingSettings, limit: Limit) -> None:
    """Make sure that the plan allows one more.

    Raises:
        PlanLimitReached: it does not.
    """
    room = await _room(unit, settings, limit)
    if room is not None and room.used >= room.allowed:
        raise PlanLimitReached(limit, room.allowed, room.used)


async def room_left(unit: UnitOfWork, settings: BillingSettings, limit: Limit) -> int | None:
    """How many more the plan allows; None: as many as one likes."""
    room = await _room(unit, settings, limit)
    return None if room is None else max(room.allowed - room.used, 0)


async def allowed_now(unit: UnitOfWork, settings: BillingSettings, limit: Limit) -> int | None:
    """How many the plan allows in all, to be shown or to be held against later; None: as many as one likes."""
    if not settings.is_billing_on:
        return None
    rows = await unit.fetch(_SHOWN)
    allowed = (rows[0].limits if rows else UNPAID).get(limit)
    return None if allowed is None else int(allowed)


class _Room(NamedTuple):
    allowed: int
    used: int


async def _room(unit: UnitOfWork, settings: BillingSettings, limit: Limit) -> _Room | None:
    if not settings.is_billing_on:
        return None
    _, allowed_rows, [count] = await unit.fetch_all(_LOCK.bind(), _ALLOWED.bind(), USED[limit].bind())
    allowed = (allowed_rows[0].limits if allowed_rows else UNPAID).get(limit)
    # what was bought before there was such a limit knows none until the plan is looked at again
    return None if allowed is None else _Room(int(allowed), int(count.used))
