"""The catalogue of plans: what each allows. Prices are Stripe's, found by lookup key."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from api.edge.entitlements import UNPAID, Limit


class Interval(StrEnum):
    """How often a subscription is paid."""

    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True)
class Plan:
    """What a plan allows. Seats are bought; those in `limits` there are in any case."""

    name: str
    title: str
    seat_minor: Mapping[Interval, int]  # US cents a seat, as `./sluice billing setup` makes the prices
    limits: Mapping[Limit, int]

    def lookup_key(self, interval: Interval) -> str:
        """By what Stripe knows the plan's price."""
        return f"sluice_{self.name}_{interval}"

    def allows(self, seats: int) -> dict[Limit, int]:
        """Its limits with that many seats bought."""
        return {**self.limits, Limit.SEATS: max(seats, self.limits[Limit.SEATS])}


#: What everybody has who bought nothing.
FREE = Plan("free", "Free", {}, UNPAID)
TEAM = Plan(
    "team",
    "Team",
    {Interval.MONTH: 2_500, Interval.YEAR: 25_200},
    {Limit.SEATS: 0, Limit.BD_ACCOUNTS: 5, Limit.AI_DRAFTS: 500, Limit.STORAGE_MB: 50_000},
)
BUSINESS = Plan(
    "business",
    "Business",
    {Interval.MONTH: 6_000, Interval.YEAR: 60_000},
    {Limit.SEATS: 0, Limit.BD_ACCOUNTS: 50, Limit.AI_DRAFTS: 5_000, Limit.STORAGE_MB: 500_000},
)

PLANS: Mapping[str, Plan] = {plan.name: plan for plan in (FREE, TEAM, BUSINESS)}

#: Lookup key of a price -> the plan that it buys, and how often it is paid.
SOLD: Mapping[str, tuple[Plan, Interval]] = {
    plan.lookup_key(interval): (plan, interval) for plan in PLANS.values() for interval in plan.seat_minor
}
