"""Whose customer of Stripe's is which organization, and units in which Stripe's word of it is written."""

from contextlib import AbstractAsyncContextManager
from uuid import UUID

from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.billing import records
from api.billing.provider import Provider
from api.db.statements import compiled
from api.kernel.database import Database, begun
from api.kernel.unit_of_work import Opening, UnitOfWork

_OWNER = compiled(text("select organization_id from billing_customers where provider_customer_id = :customer_id"))
_BECOME_APP = compiled(text("set local role sluice_app"))
_ENTER = compiled(text("select set_config('sluice.organization_id', :organization_id, true)"))


async def owner_of(database: Database, customer_id: str | None) -> UUID | None:
    """The organization that is this customer of Stripe's."""
    async with database.unit(None) as unit:
        found = await unit.fetch(_OWNER, customer_id=customer_id or "")
    return found[0].organization_id if found else None


def as_stripe(database: Database, organization_id: UUID) -> AbstractAsyncContextManager[UnitOfWork]:
    """A unit in an organization, written as sluice_app, whoever the process is."""
    context = records.as_provider(organization_id)
    unit = UnitOfWork(database.pool)
    unit.open_with(Opening(organization_id, (_BECOME_APP.bind(), _ENTER.bind()), lambda _: context))
    return begun(unit)


async def customer_of(database: Database, provider: Provider, organization_id: UUID, standing: records.Standing) -> str:
    """By what Stripe knows the organization; made there and kept here when it is first needed."""
    if standing.customer_id is not None:
        return standing.customer_id
    customer_id = await provider.create_customer(organization_id, standing.name)
    async with as_stripe(database, organization_id) as unit:
        records.keep_customer(unit, uuid7(), customer_id)
    return customer_id
