"""What is used is told to Stripe's meters: drafts by the hour in which they were made, accounts as they stand each day.

A report is a row before it is sent, and Stripe knows it by its identifier: sent twice after a crash, it counts once.
"""

import logging
from typing import Any
from uuid import UUID

import stripe
from sqlalchemy import text

from api.billing.customers import as_stripe
from api.billing.provider import Provider, RefusedByStripe
from api.db.statements import compiled
from api.edge.entitlements import Limit
from api.kernel.database import Database

_log = logging.getLogger(__name__)

#: Stripe's names of the meters, and how each makes one figure of a period's reports.
METERS = {Limit.AI_DRAFTS: ("sluice_ai_drafts", "sum"), Limit.BD_ACCOUNTS: ("sluice_bd_accounts", "last")}
#: Stripe takes no report of longer ago than 35 days; what could not be sent by then is lost to it.
_LONGEST = "30 days"

_CUSTOMERS = compiled(text("select organization_id, provider_customer_id from billing_customers"))
# a draft that is still being written may yet fail; a quarter of an hour later it has
_COLLECT_DRAFTS = compiled(
    text(f"""
insert into usage_reports (organization_id, id, meter, starts_at, quantity)
select :organization_id, gen_random_uuid(), 'ai_drafts', date_trunc('hour', created_at), count(*)
from drafts
where organization_id = :organization_id and state <> 'failed'
    and created_at >= date_trunc('hour', clock_timestamp()) - interval '{_LONGEST}'
    and created_at < date_trunc('hour', clock_timestamp() - interval '15 minutes')
group by date_trunc('hour', created_at)
on conflict (organization_id, meter, starts_at) do nothing
""")
)
_COLLECT_ACCOUNTS = compiled(
    text("""
insert into usage_reports (organization_id, id, meter, starts_at, quantity)
select :organization_id, gen_random_uuid(), 'bd_accounts', date_trunc('day', clock_timestamp(), 'UTC'), count(*)
from bd_accounts
where organization_id = :organization_id and state not in ('banned', 'revoked')
on conflict (organization_id, meter, starts_at) do nothing
""")
)
_UNSENT = compiled(
    text(f"""
select id, meter, starts_at, quantity from usage_reports
where organization_id = :organization_id and sent_at is null and starts_at > clock_timestamp() - interval '{_LONGEST}'
order by starts_at limit 1000
""")
)
_SENT = compiled(
    text("""
update usage_reports set sent_at = clock_timestamp() where organization_id = :organization_id and id = :id
""")
)


async def report_usage(database: Database, provider: Provider) -> int:
    """Tell Stripe what was used since the last time; answers how many reports that took.

    Raises:
        BillingUnavailable: Stripe does not answer; the rest is told next time.
    """
    async with database.unit(None) as unit:
        customers = await unit.fetch(_CUSTOMERS)
    sent = 0
    for customer in customers:
        async with as_stripe(database, customer.organization_id) as unit:
            unit.execute(_COLLECT_DRAFTS)
            unit.execute(_COLLECT_ACCOUNTS)
            unsent = await unit.fetch(_UNSENT)
        refused = set[str]()  # as by a meter that nobody has set up: all of its reports wait for that
        for report in unsent:
            if report.meter in refused:
                continue
            if not await _send(provider, customer.organization_id, customer.provider_customer_id, report):
                refused.add(report.meter)
                continue
            async with as_stripe(database, customer.organization_id) as unit:
                await unit.fetch(_SENT, id=report.id)
            sent += 1
    return sent


async def _send(provider: Provider, organization_id: UUID, customer_id: str, report: Any) -> bool:  # noqa: ANN401 # a row
    """Tell of one; whether Stripe knows it now."""
    name, _ = METERS[Limit(report.meter)]
    try:
        with provider.asking():
            await provider.client.v1.billing.meter_events.create_async(
                {
                    "event_name": name,
                    "identifier": str(report.id),
                    "timestamp": int(report.starts_at.timestamp()),
                    "payload": {"stripe_customer_id": customer_id, "value": str(report.quantity)},
                },
                {"idempotency_key": f"usage:{report.id}"},
            )
    except RefusedByStripe as error:
        cause = error.__cause__
        if not isinstance(cause, stripe.StripeError) or cause.code != "duplicate_meter_event":
            _log.warning("Stripe refuses a report of use of %s: %s", organization_id, error.detail)
            return False
    return True
