"""What an operator has made at Stripe before anything is sold: prices of plans, meters and prices of use."""

from stripe.params import PriceCreateParams

from api.billing.plans import METERED, SOLD
from api.billing.provider import Provider


async def set_up(provider: Provider) -> list[str]:
    """Make the meters and prices that are missing; answers their names."""
    made, meters = await _set_up_meters(provider)
    return [*made, *await _set_up_prices(provider, meters)]


async def _set_up_meters(provider: Provider) -> tuple[list[str], dict[str, str]]:
    """Names of those that were made, and of all of ours by what Stripe knows them."""
    meters, made = provider.client.v1.billing.meters, list[str]()
    with provider.asking():
        page = await meters.list_async({"status": "active", "limit": 100})
        known = {meter.event_name: meter.id async for meter in page.auto_paging_iter()}
        for key, metered in METERED.items():
            if key not in known:
                meter = await meters.create_async(
                    {
                        "event_name": key,
                        "display_name": f"Sluice: {metered.title}",
                        "default_aggregation": {"formula": "sum"},
                    },
                    {"idempotency_key": f"meter:{key}"},
                )
                known[key] = meter.id
                made.append(f"meter {key}")
    return made, known


async def _set_up_prices(provider: Provider, meters: dict[str, str]) -> list[str]:
    prices, wanted = provider.client.v1.prices, _prices(meters)
    with provider.asking():
        found = await prices.list_async({"lookup_keys": list(wanted), "active": True, "limit": 100})
        missing = [key for key in wanted if key not in {price.lookup_key for price in found.data}]
        for key in missing:
            await prices.create_async(wanted[key], {"idempotency_key": f"price:{key}"})
    return missing


def _prices(meters: dict[str, str]) -> dict[str, PriceCreateParams]:
    """By lookup key what a price is: a seat for a month or a year, one of what is used, charged each month."""
    prices = dict[str, PriceCreateParams]()
    for key, (plan, interval) in SOLD.items():
        prices[key] = {
            "lookup_key": key,
            "currency": "usd",
            "unit_amount": plan.seat_minor[interval],
            "recurring": {"interval": interval.value},
            "product_data": {"name": f"Sluice {plan.title}"},
        }
    for key, metered in METERED.items():
        prices[key] = {
            "lookup_key": key,
            "currency": "usd",
            "unit_amount": metered.unit_minor,
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meters[key]},
            "product_data": {"name": f"Sluice: {metered.title}"},
        }
    return prices
