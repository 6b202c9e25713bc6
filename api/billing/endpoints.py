"""`/v1/billing`: plan, seats, invoices, the ways to Stripe's pages, and where Stripe delivers."""

from collections.abc import AsyncIterator
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Header, Path, Request, Response
from uuid_utils.compat import uuid7

from api.billing import counting, records, rules
from api.billing.customers import customer_of
from api.billing.deliveries import SignatureInvalid, check_signature, keep
from api.billing.plans import FREE, METERED, PLANS, Interval, Plan
from api.billing.provider import BillingOff, BillingUnavailable, Provider, RefusedByStripe
from api.billing.schemas import (
    BillingRead,
    CheckoutCreate,
    InvoiceRead,
    PageAddress,
    PlanRead,
    PreviewRead,
    SubscriptionChange,
    SubscriptionRead,
    TaxIdCreate,
    TaxIdRead,
    UsageRead,
)
from api.edge.dependencies import Administrator, Unit
from api.edge.idempotency import HEADER
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import OutsideRoute, problems, slice_router
from api.edge.services import Services, services_of
from api.kernel.errors import InvalidRequest
from api.kernel.unit_of_work import UnitOfWork

_here = slice_router(prefix="/billing", tags=["billing"])
_outside = slice_router(prefix="/billing", tags=["billing"], route_class=OutsideRoute)
routers = [_here, _outside]

_OUTSIDE_PROBLEMS = (BillingOff, BillingUnavailable, RefusedByStripe)


async def _services(request: Request) -> Services:
    return services_of(request)


_Services = Annotated[Services, Depends(_services)]


class _Desk(NamedTuple):
    """Where an endpoint that asks Stripe works: the account there, and what is known here."""

    services: Services
    provider: Provider
    standing: records.Standing
    organization_id: UUID


async def _desk(services: _Services, caller: Administrator, unit: Unit) -> AsyncIterator[_Desk]:
    async with Provider(services.billing) as provider:
        yield _Desk(services, provider, await records.read_standing(unit), caller.organization_id)


_AtDesk = Annotated[_Desk, Depends(_desk)]


def _attempt(idempotency_key: Annotated[str | None, Header(alias=HEADER, min_length=1, max_length=255)] = None) -> str:
    """By what Stripe knows a repeated request."""
    return idempotency_key or str(uuid7())


_Attempt = Annotated[str, Depends(_attempt)]


@_here.get("")
async def read_billing(services: _Services, caller: Administrator, unit: Unit) -> BillingRead:
    """What the organization pays for, what that allows, and what is used of it."""
    standing = await records.read_standing(unit)
    is_on, subscription = services.billing.is_billing_on, standing.subscription
    allowed = rules.entitled(subscription, grace=records.grace(services.billing))
    is_late = allowed.falls_back_at is not None and allowed.falls_back_at <= standing.now
    return BillingRead(
        is_on=is_on,
        plan=FREE.name if subscription is None or is_late else subscription.plan,
        subscription=SubscriptionRead.model_validate(standing.newest) if standing.newest else None,
        limits=dict(allowed.fallback if is_late else allowed.limits) if is_on else None,
        used=dict(standing.used),
        falls_back_at=allowed.falls_back_at,
        beyond=await _beyond(unit, subscription) if is_on else [],
    )


async def _beyond(unit: UnitOfWork, subscription: rules.Subscription | None) -> list[UsageRead]:
    if subscription is None or not subscription.pays_usage:
        return []
    return [
        UsageRead(
            limit=one.metered.limit,
            title=one.metered.title,
            included=one.included,
            quantity=one.quantity,
            unit_minor=one.metered.unit_minor,
            cost_minor=one.cost_minor,
        )
        for one in await counting.this_month(unit, subscription)
    ]


@_here.get("/plans")
async def list_plans(caller: Administrator, unit: Unit) -> PageOf[PlanRead]:
    """What can be bought."""
    items = [
        PlanRead(
            name=plan.name,
            title=plan.title,
            seat_minor=dict(plan.seat_minor),
            limits=dict(plan.limits),
            ceilings=dict(plan.ceilings),
            unit_minor={one.limit: one.unit_minor for one in METERED.values() if one.limit in plan.ceilings},
        )
        for plan in PLANS.values()
    ]
    return PageOf(items=items, next_cursor=None)


@_here.get("/invoices")
async def list_invoices(caller: Administrator, page: Page, unit: Unit) -> PageOf[InvoiceRead]:
    """Invoices, newest first."""
    invoices, next_cursor = await read_page(unit, records.INVOICES, {}, page=page)
    return PageOf(items=[InvoiceRead.model_validate(one) for one in invoices], next_cursor=next_cursor)


@_outside.post("/checkout", responses=problems(rules.AlreadySubscribed, rules.SeatsInUse, *_OUTSIDE_PROBLEMS))
async def open_checkout(body: CheckoutCreate, desk: _AtDesk, attempt: _Attempt) -> PageAddress:
    """A page of Stripe's on which the plan is bought. The subscription is there once Stripe says so."""
    if desk.standing.subscription is not None:
        raise rules.AlreadySubscribed
    rules.check_seats(body.seats, desk.standing.seats_used)
    url = await desk.provider.open_checkout(
        await _customer(desk),
        PLANS[body.plan],
        body.interval,
        body.seats,
        pays_usage=body.pays_usage,
        is_first=desk.standing.newest is None,
        key=f"{desk.organization_id}:{attempt}",
    )
    return PageAddress(url=url)


@_outside.post("/portal", responses=problems(*_OUTSIDE_PROBLEMS))
async def open_portal(desk: _AtDesk) -> PageAddress:
    """A page of Stripe's for cards, addresses, tax ids and invoices."""
    return PageAddress(url=await desk.provider.open_portal(await _customer(desk)))


@_outside.get("/tax-ids", responses=problems(*_OUTSIDE_PROBLEMS))
async def list_tax_ids(desk: _AtDesk) -> PageOf[TaxIdRead]:
    """The tax ids that invoices bear."""
    if desk.standing.customer_id is None:
        return PageOf(items=[], next_cursor=None)
    found = await desk.provider.tax_ids(desk.standing.customer_id)
    return PageOf(items=[TaxIdRead.model_validate(one) for one in found], next_cursor=None)


@_outside.post("/tax-ids", status_code=201, responses=problems(*_OUTSIDE_PROBLEMS))
async def add_tax_id(body: TaxIdCreate, desk: _AtDesk, attempt: _Attempt) -> TaxIdRead:
    """Have invoices bear a tax id from now on."""
    key = f"{desk.organization_id}:{attempt}"
    return TaxIdRead.model_validate(
        await desk.provider.add_tax_id(await _customer(desk), body.kind, body.value, key=key)
    )


@_outside.delete("/tax-ids/{tax_id}", status_code=204, responses=problems(*_OUTSIDE_PROBLEMS))
async def delete_tax_id(tax_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,80}$")], desk: _AtDesk) -> None:
    """Have invoices bear a tax id no longer."""
    await desk.provider.delete_tax_id(await _customer(desk), tax_id)


@_outside.post("/preview", responses=problems(rules.NotSubscribed, *_OUTSIDE_PROBLEMS))
async def preview_change(body: SubscriptionChange, desk: _AtDesk) -> PreviewRead:
    """What the next invoice would be, had the change been made now."""
    subscription = _subscribed(desk)
    seen = await desk.provider.preview(
        await _customer(desk),
        subscription.provider_subscription_id,
        subscription.provider_item_id,
        _price(body, subscription),
        body.seats or subscription.seats,
        looked_at=desk.standing.now,
    )
    fields = seen.fields
    return PreviewRead(total_minor=fields["total_minor"], currency=fields["currency"], lines=fields["lines"])


@_outside.patch(
    "/subscription", responses=problems(rules.NotSubscribed, rules.SeatsInUse, InvalidRequest, *_OUTSIDE_PROBLEMS)
)
async def change_subscription(body: SubscriptionChange, desk: _AtDesk, attempt: _Attempt) -> SubscriptionRead:
    """Change plan, seats, or whether it ends. What is left of the period is charged or credited to the second."""
    subscription = _subscribed(desk)
    if not body.model_dump(exclude_unset=True, exclude_none=True):
        raise InvalidRequest("Name what is to change: plan, interval, seats, pays_usage or cancels_at_period_end.")
    if body.seats is not None:
        rules.check_seats(body.seats, desk.standing.seats_used)
    seen = await desk.provider.change(
        subscription.provider_subscription_id,
        subscription.provider_item_id,
        key=f"{desk.organization_id}:{attempt}",
        looked_at=desk.standing.now,
        price=_price(body, subscription) if body.plan or body.interval else None,
        seats=body.seats,
        cancels_at_period_end=body.cancels_at_period_end,
        pays_usage=body.pays_usage,
    )
    async with desk.services.database.unit(records.as_provider(desk.organization_id)) as unit:
        await records.learn(unit, seen, grace=records.grace(desk.services.billing))
    async with desk.services.database.reading(records.as_provider(desk.organization_id)) as unit:
        return SubscriptionRead.model_validate((await records.read_standing(unit)).newest)


@_here.post(
    "/deliveries", status_code=204, response_class=Response, responses=problems(SignatureInvalid, InvalidRequest)
)
async def receive_delivery(
    request: Request,
    services: _Services,
    unit: Unit,
    signature: Annotated[str | None, Header(alias="Stripe-Signature")] = None,
) -> None:
    """Where Stripe delivers its events. They are kept, and learned by the worker."""
    body = await request.body()
    check_signature(services.billing, body, signature)
    keep(unit, body, signature)


async def _customer(desk: _Desk) -> str:
    return await customer_of(desk.services.database, desk.provider, desk.organization_id, desk.standing)


def _subscribed(desk: _Desk) -> rules.Subscription:
    if desk.standing.subscription is None:
        raise rules.NotSubscribed
    return desk.standing.subscription


def _price(body: SubscriptionChange, subscription: rules.Subscription) -> tuple[Plan, Interval]:
    return PLANS[body.plan or subscription.plan], body.interval or Interval(subscription.interval)
