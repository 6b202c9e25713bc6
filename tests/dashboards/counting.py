"""Deals of the double, and how it counts them: simply but truly, so that a page's figures fit together."""

import random
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Row = dict[str, Any]

STAGES = {
    "new": ["Qualified", "Demo", "Proposal", "Negotiation", "Won", "Lost"],
    "renewal": ["Due", "In talks", "Won", "Lost"],
}
OWNERS = {
    "o1": ("Ada Okafor", "t1"),
    "o2": ("Ben Haas", "t1"),
    "o3": ("Chloé Martin", "t1"),
    "o4": ("Dmytro Bondar", "t2"),
    "o5": ("Elif Kaya", "t2"),
    "o6": ("Femi Adeyemi", "t2"),
    "o7": ("Greta Lindqvist", "t3"),
    "o8": ("Hiro Tanaka", "t3"),
}
TEAMS = {"t1": "Enterprise", "t2": "Mid-market", "t3": "Small business"}
SOURCES = {"s1": "Website", "s2": "Referral", "s3": "Outbound", "s4": "Event"}
REASONS = {"r1": "Price", "r2": "No decision", "r3": "Competitor", "r4": "Wrong fit"}
LABELS = {key: name for key, (name, _) in OWNERS.items()} | TEAMS | SOURCES | REASONS
WORDS = ("Harbour", "Lantern", "Quarry", "Meridian", "Juniper", "Cobalt", "Saffron", "Timber", "Orchard", "Falcon")


@dataclass
class Deal:
    """A deal with the stages it visited, by position."""

    id: str
    title: str
    pipeline: str
    owner: str
    source: str
    amount: int
    created: date
    path: list[int]
    status: str
    days: int
    reason: str = "r1"
    went_back: bool = False


def sample_deals(today: date, *, seed: int = 7, count: int = 900) -> list[Deal]:
    """Deals of the year before `today`."""
    dice = random.Random(seed)
    deals = []
    for number in range(count):
        pipeline = "new" if dice.random() < 0.8 else "renewal"
        opens = len(STAGES[pipeline]) - 2
        skill = 0.66 + 0.03 * (number % 5)
        reached = 0
        while reached < opens and dice.random() < skill:
            reached += 1
        age = dice.randrange(1, 365)
        is_won = reached == opens
        status = "won" if is_won else "open" if age < 150 and dice.random() < 0.45 else "lost"
        path = [stage for stage in range(reached + 1) if stage == 0 or stage == reached or dice.random() > 0.06]
        owner = dice.choice(list(OWNERS))
        words = f"{dice.choice(WORDS)} {dice.choice(('Labs', 'Group', 'Logistics', 'Foods', 'Energy'))}"
        deals.append(
            Deal(
                id=f"deal-{number:04}",
                title=f"{words}: {dice.choice(('rollout', 'pilot', 'licences', 'extension'))}",
                pipeline=pipeline,
                owner=owner,
                source=dice.choice(list(SOURCES)),
                amount=dice.randrange(40, 900) * 10_000 + (50 if number % 10 == 0 else 0),
                created=today - timedelta(days=age),
                path=path,
                status=status,
                days=dice.randrange(2, 25),
                reason=dice.choice(list(REASONS)),
                went_back=dice.random() < 0.06,
            )
        )
    return deals


def stage_id(pipeline: str, position: int) -> str:
    """Id of a stage."""
    return f"{pipeline}-{position}"


def pipeline_answer(key: str) -> Row:
    return {
        "id": key,
        "version": 1,
        "name": {"new": "New business", "renewal": "Renewals"}[key],
        "is_active": True,
        "stages": [
            {
                "id": stage_id(key, position),
                "version": 1,
                "name": name,
                "kind": kind_of(key, position),
                "position": position,
                "target_days": None,
                "entry_fields": [],
                "exit_fields": [],
                "is_retired": False,
            }
            for position, name in enumerate(STAGES[key])
        ],
    }


def kind_of(pipeline: str, position: int) -> str:
    last = len(STAGES[pipeline]) - 1
    return {last: "lost", last - 1: "won"}.get(position, "open")


def of_pipeline(deals: list[Deal], asked: Row) -> list[Deal]:
    return [deal for deal in deals if asked.get("pipeline_id") in (None, deal.pipeline)]


def _in_period(day: date, asked: Row) -> bool:
    return bool(asked["from"] <= day.isoformat() < asked["to"])


def _closed_on(deal: Deal) -> date:
    return deal.created + timedelta(days=deal.days * len(deal.path))


def cohort_of(deals: list[Deal], asked: Row) -> list[Deal]:
    by_close = asked["cohort"] == "closed"
    return [
        deal
        for deal in of_pipeline(deals, asked)
        if (deal.status != "open" or not by_close) and _in_period(_closed_on(deal) if by_close else deal.created, asked)
    ]


def grouped(deals: Iterable[Deal], by: str | None) -> dict[str | None, list[Deal]]:
    keys: dict[str, Callable[[Deal], str]] = {
        "owner": lambda deal: deal.owner,
        "team": lambda deal: OWNERS[deal.owner][1],
        "source": lambda deal: deal.source,
        "month": lambda deal: deal.created.strftime("%Y-%m"),
    }
    groups: dict[str | None, list[Deal]] = {} if by else {None: []}
    for deal in deals:
        groups.setdefault(keys[by](deal) if by else None, []).append(deal)
    return dict(sorted(groups.items(), key=lambda item: str(item[0])))


def counts(deal: Deal, position: int, asked: Row, measure: str) -> bool:
    if measure == "entered":
        if asked.get("order") == "reached":
            return deal.path[-1] >= position
        if asked.get("order") == "strict":
            return position in deal.path and deal.path[: position + 1] == list(range(position + 1))
        return position in deal.path
    is_here = deal.path[-1] == position
    if measure == "moved_back":
        return deal.went_back and is_here
    return is_here and deal.status == {"still_here": "open", "lost": "lost"}[measure]


def funnel_rows_of(deals: list[Deal], asked: Row, group: str | None) -> list[Row]:
    def measure(found: list[Deal]) -> int:
        return sum(deal.amount for deal in found) if asked.get("unit") == "amount" else len(found)

    pipeline, size = asked["pipeline_id"], measure(deals)
    rows: list[Row] = []
    for position in range(len(STAGES[pipeline]) - 1):
        of = {
            name: [deal for deal in deals if counts(deal, position, asked, name)]
            for name in ("entered", "still_here", "lost", "moved_back")
        }
        entered, before = measure(of["entered"]), rows[-1]["entered"] if rows else 0
        times = sorted(deal.days for deal in of["entered"])
        reasons = {key: measure([deal for deal in of["lost"] if deal.reason == key]) for key in REASONS}
        rows.append(
            {
                "group": group,
                "stage_id": stage_id(pipeline, position),
                "position": position,
                "kind": kind_of(pipeline, position),
                "entered": entered,
                "share_of_cohort": entered / size if size else None,
                "share_of_previous": entered / before if before else None,
                "median_days": statistics.median(times) if times else None,
                "p90_days": times[int(len(times) * 0.9)] if times else None,
                "still_here": measure(of["still_here"]),
                "lost": measure(of["lost"]),
                "lost_reasons": {key: number for key, number in reasons.items() if number},
                "moved_back": measure(of["moved_back"]),
            }
        )
    return rows


def placed(deals: list[Deal], asked: Row, group: str | None) -> Row:
    """Where a cohort stands."""

    def measure(found: list[Deal]) -> int:
        return sum(deal.amount for deal in found) if asked.get("unit") == "amount" else len(found)

    of = {status: [deal for deal in deals if deal.status == status] for status in ("open", "lost", "won")}
    return {
        "group": group,
        "cohort": measure(deals),
        "still_here": measure(of["open"]),
        "lost": measure(of["lost"]),
        "won": measure(of["won"]),
    }


def is_counted(deal: Deal, measure: str, asked: Row) -> bool:
    if measure == "deals_created":
        return _in_period(deal.created, asked)
    if measure == "open_deals":
        return deal.status == "open"
    return deal.status == measure.removeprefix("deals_") and _in_period(_closed_on(deal), asked)


def team_row(deals: list[Deal], asked: Row, key: str | None) -> Row:
    of = {
        name: [deal for deal in deals if is_counted(deal, name, asked)]
        for name in ("deals_created", "deals_won", "deals_lost", "open_deals")
    }
    closed = len(of["deals_won"]) + len(of["deals_lost"])
    cycles = [deal.days * len(deal.path) for deal in of["deals_won"]]
    return {
        "owner_id": key if asked["group_by"] == "owner" else None,
        "team_id": key if asked["group_by"] != "owner" else None,
        **{name: len(found) for name, found in of.items()},
        "win_rate": len(of["deals_won"]) / closed if closed else None,
        "won_amount_minor": sum(deal.amount for deal in of["deals_won"]),
        "currency": "EUR",
        "median_cycle_days": statistics.median(cycles) if cycles else None,
        "open_amount_minor": sum(deal.amount for deal in of["open_deals"]),
    }


def stage_names() -> dict[str, str]:
    return {stage_id(key, at): name for key, names in STAGES.items() for at, name in enumerate(names)}
