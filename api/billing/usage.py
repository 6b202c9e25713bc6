"""What is used beyond the plan is told to Stripe's meters, and Stripe charges it with the period of its stamp.

Stripe knows a report by its identifier for a day, so what is sent again soon counts once. Whose answer was lost longer
ago is looked for in what Stripe has summed up. A report is stamped when it is sent, for what falls into a period whose
invoice is out would be charged by none.
"""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import stripe
from sqlalchemy import text

from api.billing import counting, records
from api.billing.customers import as_stripe
from api.billing.plans import METERED
from api.billing.provider import Provider, RefusedByStripe
from api.db.statements import compiled
from api.kernel.database import Database
from contracts.events.billing import UsageReported

_log = logging.getLogger(__name__)

_HOUR = timedelta(hours=1)
_KEYS = {one.name: one.key for one in METERED.values()}
_METERS = ", ".join(f"'{name}'" for name in _KEYS)

_CUSTOMERS = compiled(text("select organization_id, provider_customer_id from billing_customers"))
_UNSENT = compiled(
    text(f"""
select id, meter, quantity, stamped_at, date_trunc('second', clock_timestamp()) as now from usage_reports
where organization_id = :organization_id and sent_at is null and quantity > 0 and meter in ({_METERS})
order by starts_at limit 1000
""")
)
_STAMP = compiled(
    text("""
update usage_reports set stamped_at = :stamped_at where organization_id = :organization_id and id = :id
""")
)
_SENT = compiled(
    text("""
update usage_reports set sent_at = clock_timestamp(), stamped_at = :stamped_at
where organization_id = :organization_id and id = :id and sent_at is null
returning id
""")
)
_TOLD = compiled(
    text("""
select coalesce(sum(quantity), 0) as quantity from usage_reports
where organization_id = :organization_id and meter = :meter and sent_at is not null
    and stamped_at >= :since and stamped_at < :until
""")
)


async def report_usage(database: Database, provider: Provider) -> int:
    """Count what was used since the last time, and tell Stripe; answers how many reports that took.

    Raises:
        BillingUnavailable: Stripe does not answer; the rest is told next time.
    """
    sent = 0
    for organization_id, customer_id in await _customers(database):
        async with as_stripe(database, organization_id) as unit:
            subscription = (await records.read_standing(unit)).subscription
            if subscription is not None:
                counting.count(unit, subscription)
        async with as_stripe(database, organization_id) as unit:
            unsent = await unit.fetch(_UNSENT)
        subscription_id = None if subscription is None else subscription.id
        telling = _Telling(database, provider, organization_id, customer_id, subscription_id)
        refused = set[str]()  # as by a meter that nobody has set up: all of its reports wait for that
        for report in unsent:
            if report.meter not in refused and await telling.tell(report):
                sent += 1
            else:
                refused.add(report.meter)
    return sent


async def differing_usage(database: Database, provider: Provider, now: datetime) -> list[str]:
    """Where what Stripe has summed up in the last 30 days is not what it was told; says of whom, and how much."""
    until = _hour(now)
    since = until - timedelta(days=30)
    found = list[str]()
    for organization_id, customer_id in await _customers(database):
        telling = _Telling(database, provider, organization_id, customer_id, None)
        for meter in _KEYS:
            told = await telling.told(meter, since, until)
            if told and (there := await telling.summed_up(meter, since, until)) != told:
                found.append(f"{customer_id}: {meter} is {there} there and {told} here")
    return found


async def _customers(database: Database) -> list[tuple[UUID, str]]:
    async with database.unit(None) as unit:
        return [(row.organization_id, row.provider_customer_id) for row in await unit.fetch(_CUSTOMERS)]


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


class _Telling:
    """Tells Stripe of one organization's use."""

    def __init__(
        self,
        database: Database,
        provider: Provider,
        organization_id: UUID,
        customer_id: str,
        subscription_id: UUID | None,
    ) -> None:
        self._database, self._provider = database, provider
        self._organization_id, self._customer_id = organization_id, customer_id
        self._subscription_id = subscription_id

    async def tell(self, report: Any) -> bool:  # noqa: ANN401 # a row
        """Tell of one; whether Stripe knows it now."""
        before: datetime | None = report.stamped_at
        stamp: datetime = report.now
        if before is not None and _hour(before) == _hour(stamp):
            stamp = before
        elif before is not None:
            hour = _hour(before), _hour(before) + _HOUR
            if await self.summed_up(report.meter, *hour) >= report.quantity + await self.told(report.meter, *hour):
                await self._note(report, before)
                return True
        async with as_stripe(self._database, self._organization_id) as unit:
            unit.execute(_STAMP, id=report.id, stamped_at=stamp)
        try:
            await self._provider.report_use(
                _KEYS[report.meter], self._customer_id, report.quantity, identifier=str(report.id), at=stamp
            )
        except RefusedByStripe as error:
            cause = error.__cause__
            if not isinstance(cause, stripe.StripeError) or cause.code != "duplicate_meter_event":
                _log.warning("Stripe refuses a report of use of %s: %s", self._organization_id, error.detail)
                return False
            stamp = before or stamp
        await self._note(report, stamp)
        return True

    async def told(self, meter: str, since: datetime, until: datetime) -> int:
        """How much of it Stripe was told, by its own clock."""
        async with as_stripe(self._database, self._organization_id) as unit:
            [row] = await unit.fetch(_TOLD, meter=meter, since=since, until=until)
        return int(row.quantity)

    async def summed_up(self, meter: str, since: datetime, until: datetime) -> int:
        """How much of it Stripe has."""
        return await self._provider.sum_of_use(_KEYS[meter], self._customer_id, since, until)

    async def _note(self, report: Any, stamp: datetime) -> None:  # noqa: ANN401 # a row
        async with as_stripe(self._database, self._organization_id) as unit:
            if await unit.fetch(_SENT, id=report.id, stamped_at=stamp):
                event = UsageReported(
                    meter=report.meter,
                    quantity=report.quantity,
                    subscription_id=self._subscription_id,
                    stamped_at=stamp,
                )
                unit.emit(event, aggregate_id=report.id, aggregate_version=1)
