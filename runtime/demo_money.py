"""Money of the demo: eighteen months of exchange rates as the ECB's file would bring them, deals in dollars, goals, and
figures that are watched. Safe to run again.
"""

from datetime import UTC, date, datetime, timedelta
from random import Random

from runtime.demo_records import Caller

_SEED = 20_260_501
#: Units for one euro, about as they are, and how much they move in a day at most.
_RATES = {"USD": (1.1, 0.004), "GBP": (0.86, 0.002), "CHF": (0.95, 0.002), "JPY": (163.0, 0.6)}
_MONTHS_DAYS = 550
_IN_DOLLARS = 5
_GOAL = 60_000_000


def add(owner: Caller, pipeline_id: str) -> None:
    """Add them, the dollars to open deals of a pipeline."""
    if owner.items("/v1/exchange-rates", limit=1):
        return
    deals = owner.items("/v1/deals", pipeline_id=pipeline_id, status="open", limit=_IN_DOLLARS * 3)
    for deal in deals[::3]:
        match = {"If-Match": f'"{deal["version"]}"'}
        owner.call("PATCH", f"/v1/deals/{deal['id']}", json={"currency": "USD"}, headers=match)
    file = {"file": ("eurofxref-hist.csv", _ecb(datetime.now(UTC).date()), "text/csv")}
    owner.call("POST", "/v1/exchange-rates/import", files=file)
    _set_goals(owner, datetime.now(UTC).date())
    won = {"name": "Won this quarter", "metric": "bookings", "measure": "won_amount_minor", "period": "this_quarter"}
    owner.call("POST", "/v1/watches", json=won | {"direction": "above", "threshold": _GOAL, "digest": "weekly"})


def _set_goals(owner: Caller, today: date) -> None:
    """This quarter's: the organization's, and a share of it for everybody who sells."""
    first = today.replace(month=today.month - (today.month - 1) % 3, day=1).isoformat()
    goal = {"measure": "won_amount", "starts_on": first, "months": 3, "currency": "EUR"}
    owner.call("POST", "/v1/goals", json=goal | {"target": _GOAL})
    sellers = [user for user in owner.items("/v1/users", limit=100) if user["role"] in {"rep", "manager"}]
    for user in sellers:
        owner.call("POST", "/v1/goals", json=goal | {"target": _GOAL // len(sellers), "user_id": user["id"]})


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
