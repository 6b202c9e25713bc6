"""Counts what is used beyond the plan: each draft after those that a month has, each day of an account too many.

A report is a row before Stripe is told of it. Hours are counted when they are over, and once; a change of the plan ends
one early, so that each draft is judged by the plan under which it was made. Months and days are UTC's.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from api.billing.plans import ACCOUNT_DAYS, AI_DRAFTS, METERED, PLANS, Metered
from api.billing.rules import Subscription
from api.db.statements import compiled
from api.edge.entitlements import Limit
from api.kernel.unit_of_work import UnitOfWork

# a draft that is being written may yet fail; a quarter of an hour later it has. Ten days away lose nothing
_DRAFTS = compiled(
    text(f"""
insert into usage_reports (organization_id, id, meter, starts_at, quantity)
select :organization_id, gen_random_uuid(), '{AI_DRAFTS.name}', starts_at, count(*)
from (
    select created_at, greatest(date_trunc('hour', created_at), cast(:since as timestamptz)) as starts_at,
        row_number() over (partition by date_trunc('month', created_at, 'UTC') order by created_at, id) as place
    from drafts
    where organization_id = :organization_id and state not in ('generating', 'failed')
        and created_at >= date_trunc('month', clock_timestamp() - interval '10 days', 'UTC')
        and created_at < coalesce(
            cast(:until as timestamptz), date_trunc('hour', clock_timestamp() - interval '15 minutes')
        )
) as made
where place > :included and created_at >= :since
group by starts_at
on conflict (organization_id, meter, starts_at) do nothing
""")
)
_ACCOUNTS = compiled(
    text(f"""
insert into usage_reports (organization_id, id, meter, starts_at, quantity)
select :organization_id, gen_random_uuid(), '{ACCOUNT_DAYS.name}', date_trunc('day', clock_timestamp(), 'UTC'),
    greatest(count(*) - :included, 0)
from bd_accounts
where organization_id = :organization_id and state not in ('banned', 'revoked')
on conflict (organization_id, meter, starts_at) do nothing
""")
)
_THIS_MONTH = compiled(
    text("""
select meter, sum(quantity) as quantity from usage_reports
where organization_id = :organization_id and starts_at >= date_trunc('month', clock_timestamp(), 'UTC')
group by meter
""")
)


class Beyond(NamedTuple):
    """What of a limit was used beyond the plan this month, and what that costs."""

    metered: Metered
    included: int
    quantity: int
    cost_minor: int


def count(unit: UnitOfWork, subscription: Subscription, *, until: datetime | None = None) -> None:
    """Queue reports of what was used and is not counted yet; `until`: also of the hour that goes on."""
    if subscription.usage_since is None:
        return
    included = PLANS[subscription.plan].limits
    unit.execute(_DRAFTS, since=subscription.usage_since, until=until, included=included[Limit.AI_DRAFTS])
    if until is None:
        unit.execute(_ACCOUNTS, included=included[Limit.BD_ACCOUNTS])


async def this_month(unit: UnitOfWork, subscription: Subscription) -> list[Beyond]:
    """What was counted this month, by what is sold."""
    counted: Mapping[str, int] = {row.meter: int(row.quantity) for row in await unit.fetch(_THIS_MONTH)}
    plan = PLANS[subscription.plan]
    return [
        Beyond(one, plan.limits[one.limit], counted.get(one.name, 0), counted.get(one.name, 0) * one.unit_minor)
        for one in METERED.values()
    ]
