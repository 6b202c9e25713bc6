"""Money of the demo: eighteen months of exchange rates as the ECB's file would bring them, deals in dollars, goals, and
figures that are watched. Safe to run again.
"""

from datetime import UTC, date, datetime, timedelta
from random import Random

from contracts.calls import deals, exchange_rates, goals, users, watches
from contracts.calls.schemas import GoalCreate, WatchCreate
from runtime.demo_records import Caller

_SEED = 20_260_501
#: Units for one euro, about as they are, and how much they move in a day at most.
_RATES = {"USD": (1.1, 0.004), "GBP": (0.86, 0.002), "CHF": (0.95, 0.002), "JPY": (163.0, 0.6)}
_MONTHS_DAYS = 550
_IN_DOLLARS = 5
_GOAL = 60_000_000


def add(owner: Caller, pipeline_id: str) -> None:
    """Add them, the dollars to open deals of a pipeline."""
    if owner.ask(exchange_rates.list_exchange_rates(limit=1))["items"]:
        return
    listed = owner.ask(deals.list_deals(pipeline_id=pipeline_id, status="open", limit=_IN_DOLLARS * 3))["items"]
    for deal in listed[::3]:
        owner.ask(deals.update_deal(deal["id"], {"currency": "USD"}, version=deal["version"]))
    file = {"file": ("eurofxref-hist.csv", _ecb(datetime.now(UTC).date()), "text/csv")}
    owner.ask(exchange_rates.import_exchange_rates(), files=file)
    _set_goals(owner, datetime.now(UTC).date())
    won: WatchCreate = {
        "name": "Won this quarter",
        "metric": "bookings",
        "measure": "won_amount_minor",
        "period": "this_quarter",
        "direction": "above",
        "threshold": _GOAL,
        "digest": "weekly",
    }
    owner.ask(watches.create_watch(won))


def _set_goals(owner: Caller, today: date) -> None:
    """This quarter's: the organization's, and a share of it for everybody who sells."""
    first = today.replace(month=today.month - (today.month - 1) % 3, day=1).isoformat()
    goal: GoalCreate = {
        "measure": "won_amount",
        "starts_on": first,
        "months": 3,
        "currency": "EUR",
        "target": _GOAL,
    }
    owner.ask(goals.create_goal(goal))
    people = owner.ask(users.list_users(limit=100))["items"]
    sellers = [user for user in people if user["role"] in {"rep", "manager"}]
    for user in sellers:
        owner.ask(goals.create_goal({**goal, "target": _GOAL // len(sellers), "user_id": user["id"]}))


def _ecb(until: date) -> bytes:
    random, rates = Random(_SEED), {code: rate for code, (rate, _) in _RATES.items()}
    lines = [f"Date,{','.join(_RATES)},"]
    for back in range(_MONTHS_DAYS, -1, -1):
        day = until - timedelta(days=back)
        if day.isoweekday() > 5:
            continue
        for code, (_, step) in _RATES.items():
            rates[code] += random.uniform(-step, step)
        lines.append(f"{day},{','.join(f'{rate:.4f}' for rate in rates.values())},")
    return "\n".join([lines[0], *reversed(lines[1:])]).encode()
