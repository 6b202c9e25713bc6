"""The catalogue: what each plan allows, and what is sold beyond it by use. Prices are Stripe's, found by lookup key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.edge.entitlements import UNPAID, Limit


class Interval(StrEnum):
    """How often a subscription is paid."""

    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True)
class Metered:
    """What is sold by use, each for itself, beyond what a plan has of `limit`."""

    name: str
    limit: Limit
    title: str
    unit_minor: int  # US cents, as `./sluice billing setup` makes the price

    @property
    def key(self) -> str:
        """Stripe's name of the meter, and of its price."""
        return f"sluice_{self.name}"


@dataclass(frozen=True)
class Plan:
    """What a plan allows. Seats are bought; those in `limits` there are in any case.

    `ceilings` is how far use may go beyond `limits` where that is paid for.
    """

    name: str
    title: str
    seat_minor: Mapping[Interval, int]  # US cents a seat, as `./sluice billing setup` makes the prices
    limits: Mapping[Limit, int]
    ceilings: Mapping[Limit, int] = field(default_factory=dict)

    def lookup_key(self, interval: Interval) -> str:
        """By what Stripe knows the plan's price."""
        return f"sluice_{self.name}_{interval}"

    def allows(self, seats: int, *, beyond: bool = False) -> dict[Limit, int]:
        """Its limits with that many seats bought; its ceilings, if what goes beyond is paid for."""
        most = {**self.limits, **self.ceilings} if beyond else self.limits
        return {**most, Limit.SEATS: max(seats, self.limits[Limit.SEATS])}


#: What everybody has who bought nothing.
FREE = Plan("free", "Free", {}, UNPAID)
TEAM = Plan(
    "team",
    "Team",
    {Interval.MONTH: 2_500, Interval.YEAR: 25_200},
    {Limit.SEATS: 0, Limit.BD_ACCOUNTS: 5, Limit.AI_DRAFTS: 500, Limit.STORAGE_MB: 50_000},
    {Limit.BD_ACCOUNTS: 20, Limit.AI_DRAFTS: 2_500},
)
BUSINESS = Plan(
    "business",
    "Business",
    {Interval.MONTH: 6_000, Interval.YEAR: 60_000},
    {Limit.SEATS: 0, Limit.BD_ACCOUNTS: 50, Limit.AI_DRAFTS: 5_000, Limit.STORAGE_MB: 500_000},
    {Limit.BD_ACCOUNTS: 200, Limit.AI_DRAFTS: 25_000},
)

PLANS: Mapping[str, Plan] = {plan.name: plan for plan in (FREE, TEAM, BUSINESS)}

#: Lookup key of a price -> the plan that it buys, and how often it is paid.
SOLD: Mapping[str, tuple[Plan, Interval]] = {
    plan.lookup_key(interval): (plan, interval) for plan in PLANS.values() for interval in plan.seat_minor
}

AI_DRAFTS = Metered("ai_drafts_beyond", Limit.AI_DRAFTS, "AI draft beyond the plan", 5)
ACCOUNT_DAYS = Metered("account_days_beyond", Limit.BD_ACCOUNTS, "Day of an account beyond the plan", 50)

#: What is sold by use, by Stripe's name of it.
METERED: Mapping[str, Metered] = {one.key: one for one in (AI_DRAFTS, ACCOUNT_DAYS)}
