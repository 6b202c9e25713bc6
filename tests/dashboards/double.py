"""A double of the API: sign-in, two pipelines, 900 seeded deals, the funnel and the team's figures, deals behind them.

It counts simply but truly, so that pages show figures that fit together; the real counting is tested in `metrics`.
"""

import random
import secrets
import statistics
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

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


@dataclass
class Double:
    """What the double knows and what it was asked; tests turn its faults on."""

    deals: list[Deal]
    asked: list[tuple[str, Row]] = field(default_factory=list)
    access: set[str] = field(default_factory=set)
    refresh: set[str] = field(default_factory=set)
    problems: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    freshness: Row = field(default_factory=dict)

    def questions(self, path: str) -> list[Row]:
        """The parameters with which this path was asked, oldest first."""
        return [parameters for asked, parameters in self.asked if asked == path]

    def expire_access(self) -> None:
        """All access tokens end now; refresh tokens live on."""
        self.access.clear()

    def end_sign_ins(self) -> None:
        """Everybody is signed out."""
        self.access.clear()
        self.refresh.clear()

    def tokens(self) -> Row:
        """New tokens; the way a refresh rotates them."""
        access, refresh = secrets.token_hex(8), secrets.token_hex(8)
        self.access.add(access)
        self.refresh.add(refresh)
        return {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 900}


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


def healthy(version: str = "20261122T101500123456Z") -> Row:
    """A freshness answer in which all is well."""
    now = datetime.now(UTC)
    checks = [
        ("every_event_arrived", "ok", "24,310 of 24,310 events are in the warehouse."),
        ("deals_are_unique", "ok", "6,012 deals, none twice."),
        ("stage_intervals_do_not_overlap", "ok", ""),
        ("amounts_have_a_currency", "ok", ""),
    ]
    return {
        "warehouse_version": version,
        "published_at": (now - timedelta(seconds=4)).isoformat(),
        "through": (now - timedelta(seconds=6)).isoformat(),
        "events_behind": 3,
        "processes": [
            {"name": name, "state": "running", "seen_at": now.isoformat(), "restarts": 0, "lag": lag}
            for name, lag in (("relay", 0), ("loader", 3), ("refresh", 0), ("worker", 0))
        ],
        "checks": [
            {"name": name, "status": status, "message": message, "finished_at": now.isoformat()}
            for name, status, message in checks
        ],
        "last_refresh": {
            "status": "ok",
            "started_at": (now - timedelta(seconds=7)).isoformat(),
            "finished_at": (now - timedelta(seconds=4)).isoformat(),
            "error": None,
        },
    }


def stage_id(pipeline: str, position: int) -> str:
    """Id of a stage."""
    return f"{pipeline}-{position}"


def application(double: Double) -> FastAPI:
    """The double as an ASGI application."""
    app = FastAPI()

    @app.middleware("http")
    async def gate(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        double.asked.append((path, dict(request.query_params)))
        if (problem := double.problems.get(path)) is not None:
            status, code, detail = problem
            return _problem(status, code, detail)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not path.startswith("/v1/auth/") and token not in double.access:
            return _problem(401, "not_authenticated", "The access token is missing or has expired.")
        return await call_next(request)

    _serve_sign_in(app, double)
    _serve_metrics(app, double)

    @app.get("/v1/me")
    def me() -> Row:
        return ME

    @app.get("/v1/pipelines")
    def pipelines() -> Row:
        return {"items": [_pipeline(key) for key in STAGES], "next_cursor": None}

    @app.get("/v1/freshness")
    def freshness() -> Row:
        return double.freshness

    return app


def _serve_sign_in(app: FastAPI, double: Double) -> None:
    @app.post("/v1/auth/login", response_model=None)
    def login(body: Row) -> Row | Response:
        if body != {"email": "manager@example.com", "password": "sluice-demo"}:
            return _problem(401, "wrong_credentials", "Wrong e-mail or password.")
        return double.tokens()

    @app.post("/v1/auth/refresh", response_model=None)
    def refresh(body: Row) -> Row | Response:
        if body["refresh_token"] not in double.refresh:
            return _problem(401, "refresh_token_invalid", "The sign-in has ended.")
        double.refresh.discard(body["refresh_token"])
        return double.tokens()

    @app.post("/v1/auth/logout", status_code=204)
    def logout() -> None:
        double.end_sign_ins()


def _serve_metrics(app: FastAPI, double: Double) -> None:
    @app.get("/v1/metrics/funnel")
    def funnel(request: Request) -> Row:
        asked = dict(request.query_params)
        rows: list[Row] = []
        for group, deals in _groups(_cohort(double.deals, asked), asked.get("group_by")).items():
            rows += _funnel(deals, asked, group)
        return _answer(double, "funnel", asked, rows)

    @app.get("/v1/metrics/team_performance")
    def team_performance(request: Request) -> Row:
        asked = dict(request.query_params)
        groups = _groups(_of_pipeline(double.deals, asked), asked["group_by"].removeprefix("top_"))
        return _answer(double, "team_performance", asked, [_team(deals, asked, key) for key, deals in groups.items()])

    @app.get("/v1/metrics/funnel/rows")
    def funnel_rows(request: Request) -> Row:
        asked = dict(request.query_params)
        position = int(asked["stage_id"].rpartition("-")[2])
        cohort = _cohort(double.deals, asked)
        if "group" in asked:
            cohort = _groups(cohort, asked["group_by"])[asked["group"]]
        deals = [deal for deal in cohort if _counts(deal, position, asked, asked["measure"])]
        return _page(deals, asked)

    @app.get("/v1/metrics/team_performance/rows")
    def team_rows(request: Request) -> Row:
        asked = dict(request.query_params)
        deals = _of_pipeline(double.deals, asked)
        wanted = asked["group"]
        mine = [deal for deal in deals if wanted in (deal.owner, OWNERS[deal.owner][1])]
        return _page([deal for deal in mine if _is(deal, asked["measure"], asked)], asked)


ME = {
    "id": "o0",
    "name": "Mara Manager",
    "email": "manager@example.com",
    "role": "manager",
    "record_scope": "subtree",
    "organization": {
        "id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "name": "Northwind Traders",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "fiscal_year_start_month": 1,
    },
}


def _pipeline(key: str) -> Row:
    return {
        "id": key,
        "name": {"new": "New business", "renewal": "Renewals"}[key],
        "is_active": True,
        "stages": [
            {"id": stage_id(key, position), "name": name, "kind": _kind(key, position), "position": position}
            for position, name in enumerate(STAGES[key])
        ],
    }


def _kind(pipeline: str, position: int) -> str:
    last = len(STAGES[pipeline]) - 1
    return {last: "lost", last - 1: "won"}.get(position, "open")


def _of_pipeline(deals: list[Deal], asked: Row) -> list[Deal]:
    return [deal for deal in deals if asked.get("pipeline_id") in (None, deal.pipeline)]


def _in_period(day: date, asked: Row) -> bool:
    return bool(asked["from"] <= day.isoformat() < asked["to"])


def _closed_on(deal: Deal) -> date:
    return deal.created + timedelta(days=deal.days * len(deal.path))


def _cohort(deals: list[Deal], asked: Row) -> list[Deal]:
    by_close = asked["cohort"] == "closed"
    return [
        deal
        for deal in _of_pipeline(deals, asked)
        if (deal.status != "open" or not by_close) and _in_period(_closed_on(deal) if by_close else deal.created, asked)
    ]


def _groups(deals: Iterable[Deal], by: str | None) -> dict[str | None, list[Deal]]:
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


def _counts(deal: Deal, position: int, asked: Row, measure: str) -> bool:
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


def _funnel(deals: list[Deal], asked: Row, group: str | None) -> list[Row]:
    def measure(found: list[Deal]) -> int:
        return sum(deal.amount for deal in found) if asked.get("unit") == "amount" else len(found)

    pipeline, size = asked["pipeline_id"], measure(deals)
    rows: list[Row] = []
    for position in range(len(STAGES[pipeline]) - 1):
        of = {
            name: [deal for deal in deals if _counts(deal, position, asked, name)]
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
                "kind": _kind(pipeline, position),
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


def _is(deal: Deal, measure: str, asked: Row) -> bool:
    if measure == "deals_created":
        return _in_period(deal.created, asked)
    if measure == "open_deals":
        return deal.status == "open"
    return deal.status == measure.removeprefix("deals_") and _in_period(_closed_on(deal), asked)


def _team(deals: list[Deal], asked: Row, key: str | None) -> Row:
    of = {
        name: [deal for deal in deals if _is(deal, name, asked)]
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


def _page(deals: list[Deal], asked: Row) -> Row:
    start, limit = int(asked.get("cursor") or 0), int(asked["limit"])
    page = deals[start : start + limit]
    return {
        "items": [
            {
                "deal_id": deal.id,
                "title": deal.title,
                "owner_id": deal.owner,
                "stage_id": stage_id(deal.pipeline, deal.path[-1]),
                "status": deal.status,
                "amount_minor": deal.amount,
                "currency": "EUR",
                "value": 1,
            }
            for deal in page
        ],
        "next_cursor": str(start + limit) if start + limit < len(deals) else None,
        "total": {"count": len(deals), "amount_minor": sum(deal.amount for deal in deals)},
        "labels": LABELS | _stage_names(),
    }


def _stage_names() -> dict[str, str]:
    return {stage_id(key, at): name for key, names in STAGES.items() for at, name in enumerate(names)}


def _answer(double: Double, metric: str, asked: Row, rows: list[Row]) -> Row:
    fresh = double.freshness
    return {
        "metric": metric,
        "version": 1,
        "definition": "sha256:3fa2b1c9d4e5f60718293a4b5c6d7e8f",
        "parameters": asked,
        "as_of": asked.get("as_of") or fresh["through"],
        "warehouse_version": fresh["warehouse_version"],
        "freshness": {"through": fresh["through"], "events_behind": fresh["events_behind"]},
        "rows": rows,
        "labels": LABELS | _stage_names(),
        "notes": [],
    }


def _problem(status: int, code: str, detail: str) -> JSONResponse:
    return JSONResponse(
        {"type": "about:blank", "title": "Problem", "status": status, "code": code, "detail": detail},
        status_code=status,
        headers={"X-Correlation-ID": "0190-test"},
        media_type="application/problem+json",
    )
