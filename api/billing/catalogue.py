"""What an operator has made at Stripe before anything is sold: prices of the plans, meters of what is used."""

from api.billing.plans import SOLD
from api.billing.provider import Provider
from api.billing.usage import METERS


async def set_up(provider: Provider) -> list[str]:
    """Make the prices and meters that are missing; answers their names."""
    return [*await _set_up_prices(provider), *await _set_up_meters(provider)]


async def _set_up_prices(provider: Provider) -> list[str]:
    prices = provider.client.v1.prices
    with provider.asking():
        found = await prices.list_async({"lookup_keys": list(SOLD), "active": True, "limit": 100})
        missing = [key for key in SOLD if key not in {price.lookup_key for price in found.data}]
        for key in missing:
            plan, interval = SOLD[key]
            await prices.create_async(
                {
                    "lookup_key": key,
                    "currency": "usd",
                    "unit_amount": plan.seat_minor[interval],
                    "recurring": {"interval": interval.value},
                    "product_data": {"name": f"Sluice {plan.title}"},
                },
                {"idempotency_key": f"price:{key}"},
            )
    return missing


async def _set_up_meters(provider: Provider) -> list[str]:
    meters, made = provider.client.v1.billing.meters, list[str]()
    with provider.asking():
        known = {meter.event_name async for meter in (await meters.list_async({"limit": 100})).auto_paging_iter()}
        for limit, (name, formula) in METERS.items():
            if name not in known:
                await meters.create_async(
                    {
                        "event_name": name,
                        "display_name": f"Sluice {limit.replace('_', ' ')}",
                        "default_aggregation": {"formula": formula},
                    },
                    {"idempotency_key": f"meter:{name}"},
                )
                made.append(name)
    return made
