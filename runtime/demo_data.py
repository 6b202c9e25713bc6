"""The demo's invented history, as files for the import: eighteen months of a sales organization of twelve reps.

Pure and seeded: the same seed and day give the same bytes. Whether a deal is won depends on what can be seen of it (its
source, the company's size, the amount, the rep, how fast it moves) and on chance, so that a score has something to
learn and something to miss.
"""

import csv
import io
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from runtime.demo_names import (
    COMPANY_ENDS,
    COMPANY_FORMS,
    COMPANY_STARTS,
    COUNTRIES,
    FIRST_NAMES,
    INDUSTRIES,
    SURNAME_ENDS,
    SURNAME_STARTS,
)
from runtime.demo_story import PIPELINES, Company, DealStory, Rep, World

DEALS, COMPANIES, CONTACTS = 6_000, 800, 1_500
DAYS = 548

#: Share of a usual month's deals that begin in each month: slow summers and Decembers.
_SEASON = (0.95, 1.0, 1.15, 1.0, 1.0, 1.1, 0.8, 0.65, 1.2, 1.15, 1.1, 0.7)
#: The same for each weekday.
_WEEK = (1.0, 1.0, 1.0, 1.0, 0.8, 0.0, 0.0)

ANALYST, MANAGER, REP = "analyst@example.com", "manager@example.com", "rep@example.com"
#: Team -> (its manager, its reps); a name and an address each.
_TEAMS: dict[str, tuple[tuple[str, str], tuple[tuple[str, str], ...]]] = {
    "Sales/North": (
        ("Hanno Lindkamp", "hanno.lindkamp@demo.example"),
        (
            ("Kim Dahlsen", REP),
            ("Bente Ahlmann", "bente.ahlmann@demo.example"),
            ("Lasse Grenrup", "lasse.grenrup@demo.example"),
            ("Oda Nordholt", "oda.nordholt@demo.example"),
        ),
    ),
    "Sales/South": (
        ("Romy Bergfeldt", "romy.bergfeldt@demo.example"),
        (
            ("Dario Kolting", "dario.kolting@demo.example"),
            ("Greta Sandner", "greta.sandner@demo.example"),
            ("Ivo Wendacker", "ivo.wendacker@demo.example"),
            ("Leni Pahlbach", "leni.pahlbach@demo.example"),
        ),
    ),
    "Sales/Enterprise": (
        ("Wanda Osterdahl", "wanda.osterdahl@demo.example"),
        (
            ("Arne Zornsen", "arne.zornsen@demo.example"),
            ("Femke Vahrholt", "femke.vahrholt@demo.example"),
            ("Silas Morregger", "silas.morregger@demo.example"),
            ("Tilda Eichstedt", "tilda.eichstedt@demo.example"),
        ),
    ),
}
#: Skill of the twelve reps, in the order above.
_SKILLS = (0.1, 0.5, -0.3, 0.0, 0.3, -0.5, 0.0, 0.2, 0.6, -0.2, 0.1, -0.4)


def generate(*, seed: int, until: date) -> dict[str, bytes]:
    """Files by entity, with history up to the beginning of the day `until`."""
    return _Demo(random.Random(seed), until).files()  # invented data, not secrets


class _Demo:
    def __init__(self, chance: random.Random, until: date) -> None:
        self._chance = chance
        end = datetime.combine(until, time(), UTC)
        self._begin = end - timedelta(days=DAYS)
        sellers = [(email, team) for team, (_, members) in _TEAMS.items() for _, email in members]
        reps = [Rep(email, team, skill) for (email, team), skill in zip(sellers, _SKILLS, strict=True)]
        self._world = World(chance, end, self._make_companies(), reps)

    def files(self) -> dict[str, bytes]:
        stories = [DealStory(self._world, number, at) for number, at in enumerate(self._beginnings(), start=1)]
        for story in stories:
            story.tell()
        companies = self._world.companies
        people = [(company.name, *contact) for company in companies for contact in company.contacts]
        return {
            "pipelines": _csv(("pipeline", "stage", "position", "kind", "target_days"), _pipeline_rows()),
            "users": _csv(("email", "name", "role", "team", "manager"), _user_rows()),
            "companies": _csv(
                ("external_id", "name", "domain", "industry", "employees", "country"),
                ((one.key, one.name, one.domain, one.industry, one.employees, one.country) for one in companies),
            ),
            "contacts": _csv(
                ("external_id", "name", "email", "company"),
                ((f"P{n:05}", name, email, company) for n, (company, name, email) in enumerate(people, start=1)),
            ),
            "deals": _csv(_DEAL_COLUMNS, (story.deal for story in stories)),
            "deal_stage_history": _csv(
                ("deal_external_id", "stage", "entered_at", "actor_email"),
                (row for story in stories for row in story.stages),
            ),
            "deal_owner_history": _csv(
                ("deal_external_id", "owner_email", "from"), (row for story in stories for row in story.owners)
            ),
            "deal_amount_history": _csv(
                ("deal_external_id", "amount", "currency", "from"),
                (row for story in stories for row in story.amounts),
            ),
        }

    def _beginnings(self) -> list[datetime]:
        """When the deals begin: seasons, a slow growth, few on Fridays, none at week-ends."""
        days = [self._begin + timedelta(days=number) for number in range(DAYS)]
        weights = [
            0.0
            if day.weekday() > 4
            else _SEASON[day.month - 1] * (1 + 0.3 * number / DAYS) * (0.8, 1)[day.weekday() < 4]
            for number, day in enumerate(days)
        ]
        return sorted(self._world.working_time(day) for day in self._chance.choices(days, weights, k=DEALS))

    def _make_companies(self) -> list[Company]:
        names = [f"{start}{end}" for start in COMPANY_STARTS for end in COMPANY_ENDS]
        people = [f"{first} {start}{end}" for first in FIRST_NAMES for start in SURNAME_STARTS for end in SURNAME_ENDS]
        companies = []
        for number, name in enumerate(self._chance.sample(names, COMPANIES), start=1):
            companies.append(
                Company(
                    key=f"C{number:04}",
                    name=f"{name} {self._chance.choice(COMPANY_FORMS)}",
                    domain=f"{name.lower()}.example",
                    industry=self._chance.choice(INDUSTRIES),
                    employees=max(3, round(self._chance.lognormvariate(4.3, 1.2))),
                    country=self._chance.choices(COUNTRIES, (8, 2, 2, 2, 3, 2, 1, 1))[0],
                )
            )
        hosts = [*companies, *self._chance.choices(companies, k=CONTACTS - COMPANIES)]
        for company, name in zip(hosts, self._chance.sample(people, CONTACTS), strict=True):
            company.contacts.append((name, f"{name.lower().replace(' ', '.')}@{company.domain}"))
        return companies


_DEAL_COLUMNS = (
    "external_id", "title", "pipeline", "stage", "amount", "currency", "owner_email", "company", "contact_email",
    "source", "created_at", "close_date", "lost_reason",
)  # fmt: skip


def _pipeline_rows() -> list[Sequence[object]]:
    return [
        (pipeline, stage, place, kind, days if days is not None else "")
        for pipeline, stages in PIPELINES.items()
        for place, (stage, kind, days) in enumerate(stages)
    ]


def _user_rows() -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [(ANALYST, "", "", "Sales", MANAGER)]
    for team, (manager, members) in _TEAMS.items():
        rows.append((manager[1], manager[0], "manager", team, manager[1]))
        rows += [(email, name, "", team, manager[1]) for name, email in members]
    return rows


def _csv(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return stream.getvalue().encode()
