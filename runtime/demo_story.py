"""One invented deal of the demo, from its first day to its end or to today."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runtime.demo_names import LOST_REASONS

NEW_BUSINESS, RENEWALS = "New business", "Renewals"
#: Pipeline -> (stage, kind, target days), in order.
PIPELINES: dict[str, tuple[tuple[str, str, int | None], ...]] = {
    NEW_BUSINESS: (
        ("New", "open", 5),
        ("Qualified", "open", 10),
        ("Demo held", "open", 14),
        ("Proposal", "open", 14),
        ("Negotiation", "open", 10),
        ("Won", "won", None),
        ("Lost", "lost", None),
    ),
    RENEWALS: (
        ("Upcoming", "open", 30),
        ("In talks", "open", 20),
        ("Terms agreed", "open", 10),
        ("Renewed", "won", None),
        ("Churned", "lost", None),
    ),
}
#: Source -> (share of deals, effect on the odds).
_SOURCES = {
    "Referral": (0.14, 0.9),
    "Partner": (0.12, 0.5),
    "Website": (0.30, 0.1),
    "Event": (0.14, -0.1),
    "Outbound": (0.20, -0.6),
    "Advertising": (0.10, -0.8),
}


@dataclass(frozen=True)
class Company:
    """A company that buys, and its people."""

    key: str
    name: str
    domain: str
    industry: str
    employees: int
    country: str
    contacts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Rep:
    """Somebody who sells."""

    email: str
    team: str
    skill: float


@dataclass(frozen=True)
class World:
    """What all stories share."""

    chance: random.Random
    end: datetime
    companies: Sequence[Company]
    reps: Sequence[Rep]

    def working_time(self, day: datetime) -> datetime:
        """A moment of a working day, at or after the day given."""
        day = day + timedelta(days=max(0, day.weekday() - 4) and 7 - day.weekday())
        seconds = self.chance.randrange(8 * 3600, 17 * 3600)
        return day.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(seconds=seconds)


class DealStory:
    """One deal from its first day to its end, or to today."""

    def __init__(self, world: World, number: int, created_at: datetime) -> None:
        self._world, self._chance = world, world.chance  # one story of this demo
        self._key, self._created_at = f"D{number:05}", created_at
        self._pipeline = RENEWALS if self._chance.random() < 0.2 else NEW_BUSINESS
        self._company = self._chance.choice(world.companies)
        is_large = self._company.employees > 250
        fitting = [rep for rep in world.reps if ("Enterprise" in rep.team) == is_large]
        self._rep = self._chance.choice(fitting if self._chance.random() < 0.8 else world.reps)
        shares = [share for share, _ in _SOURCES.values()]
        self._source = self._chance.choices(list(_SOURCES), shares)[0]
        size = 900 + 55 * self._company.employees**0.8
        self._amount = round(size * self._chance.lognormvariate(0, 0.5), -1) + 10
        self._pace = self._chance.lognormvariate(0, 0.5)
        self._visits: list[tuple[str, datetime]] = []
        self._handovers = [(self._rep.email, created_at)]
        self.deal: Sequence[object] = ()
        self.stages: Sequence[Sequence[object]] = ()
        self.owners: Sequence[Sequence[object]] = ()
        self.amounts: Sequence[Sequence[object]] = ()

    def tell(self) -> None:
        """Make up the rows: `deal`, `stages`, `owners`, `amounts`."""
        is_won = self._chance.random() < self.odds()
        self._walk(is_won=is_won)
        if not is_won and self._chance.random() < 0.06:
            self._reopen()
        end = self._world.end
        visits = [(stage, at) for stage, at in self._visits if at < end]
        self._hand_over(until=min(self._visits[-1][1], end))
        self._write(visits)

    def odds(self) -> float:
        """Probability of winning, from what can be seen, and a part that cannot."""
        base = 1.4 if self._pipeline == RENEWALS else -0.9
        size = 0.35 * (math.log(self._company.employees) - 4.3) / 1.2
        price = -0.5 * (math.log(self._amount) - 8.1)
        speed = -1.1 * math.log(self._pace)
        logit = base + _SOURCES[self._source][1] + size + price + speed + self._rep.skill + self._chance.gauss(0, 0.6)
        return 1 / (1 + math.exp(-logit))

    def _walk(self, *, is_won: bool) -> None:
        stages = PIPELINES[self._pipeline]
        ways = [stage for stage, kind, _ in stages if kind == "open"]
        won, lost = stages[-2][0], stages[-1][0]
        last = len(ways) if is_won else self._chance.choices(range(1, len(ways) + 1), range(len(ways) + 1, 1, -1))[0]
        at = self._created_at
        for place, (stage, _, days) in enumerate(stages[:last]):
            if place and not is_won and place < last - 1 and self._chance.random() < 0.05:
                continue  # some deals skip a stage
            self._visits.append((stage, at))
            if 0 < place < last and self._chance.random() < 0.07:
                at = self._later(at, (days or 10) * 0.6)
                self._visits.append((ways[place - 1], at))
                at = self._later(at, 4)
                self._visits.append((stage, at))
            at = self._later(at, (days or 10) * self._pace * self._chance.lognormvariate(-0.35, 0.45))
        self._visits.append((won if is_won else lost, at))

    def _later(self, at: datetime, days: float) -> datetime:
        later = self._world.working_time(at + timedelta(days=min(days, 45)))
        return later if later > at else at + timedelta(minutes=self._chance.randrange(20, 300))

    def _reopen(self) -> None:
        at = self._later(self._visits[-1][1], self._chance.uniform(15, 44))
        stages = [stage for stage, _, _ in PIPELINES[self._pipeline]]
        self._visits.append((stages[len(stages) - 4], at))
        at = self._later(at, self._chance.uniform(5, 25))
        self._visits.append((stages[-2] if self._chance.random() < 0.45 else stages[-1], at))

    def _hand_over(self, *, until: datetime) -> None:
        if self._chance.random() > 0.12 or until <= self._created_at + timedelta(days=2):
            return
        others = [rep for rep in self._world.reps if rep.team == self._rep.team and rep is not self._rep]
        at = self._created_at + (until - self._created_at) * self._chance.uniform(0.2, 0.8)
        self._handovers.append((self._chance.choice(others).email, at.replace(microsecond=0)))

    def _write(self, visits: Sequence[tuple[str, datetime]]) -> None:
        key = self._key
        stage, since = visits[-1]
        kind = next(kind for name, kind, _ in PIPELINES[self._pipeline] if name == stage)
        amounts = [(self._amount, self._created_at)]
        if len(visits) > 3 and self._chance.random() < 0.3:
            amounts.append((round(self._amount * self._chance.uniform(0.75, 1.2), -1), visits[3][1]))
        due = since if kind != "open" else max(since, self._created_at) + timedelta(days=self._chance.randrange(10, 60))
        owner = self._handovers[-1][0]
        contact = self._chance.choice(self._company.contacts)[1]
        what = "renewal" if self._pipeline == RENEWALS else f"{self._chance.randrange(5, 400)} seats"
        title = f"{self._company.name}, {what}"
        reason = self._chance.choices(LOST_REASONS, (5, 3, 4, 4, 2, 1))[0] if kind == "lost" else ""
        self.deal = (
            key, title, self._pipeline, stage, f"{amounts[-1][0]:.2f}", "EUR", owner, self._company.name, contact,
            self._source, _text(self._created_at), due.date().isoformat(), reason,
        )  # fmt: skip
        self.stages = [(key, name, _text(at), self._owner_at(at)) for name, at in visits]
        if len(self._handovers) > 1:
            self.owners = [(key, email, _text(at)) for email, at in self._handovers]
        if len(amounts) > 1:
            self.amounts = [(key, f"{amount:.2f}", "EUR", _text(at)) for amount, at in amounts]

    def _owner_at(self, at: datetime) -> str:
        return [email for email, since in self._handovers if since <= at][-1]


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
