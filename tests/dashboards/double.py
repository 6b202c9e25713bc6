"""A double of the API: sign-in, two pipelines, 900 seeded deals, the funnel and the team's figures, deals behind them.

It counts simply but truly, so that pages show figures that fit together; the real counting is tested in `metrics`.
"""

import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from tests.dashboards.contract import document, refusals
from tests.dashboards.counting import (
    LABELS,
    OWNERS,
    STAGES,
    Deal,
    Row,
    cohort_of,
    counts,
    funnel_rows_of,
    grouped,
    is_counted,
    of_pipeline,
    pipeline_answer,
    placed,
    stage_id,
    stage_names,
    team_row,
)
from tests.dashboards.double_access import serve_access
from tests.dashboards.double_billing import PAID, serve_billing
from tests.dashboards.double_campaigns import campaign_of_one, serve_campaigns
from tests.dashboards.double_drafts import draft_of_one, serve_drafts
from tests.dashboards.double_hostile import rewritten
from tests.dashboards.double_imports import serve_imports
from tests.dashboards.double_inbox import inbox_of_one, serve_inbox
from tests.dashboards.double_notes import serve_notes
from tests.dashboards.double_records import serve_records
from tests.dashboards.double_rules import serve_rules
from tests.dashboards.double_scores import model, serve_scores
from tests.dashboards.double_watches import serve_watches
from tests.dashboards.double_webhooks import serve_webhooks


@dataclass
class Double:
    """What the double knows and what it was asked; tests turn its faults on."""

    deals: list[Deal]
    asked: list[tuple[str, Row]] = field(default_factory=list)
    access: set[str] = field(default_factory=set)
    refresh: set[str] = field(default_factory=set)
    problems: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    freshness: Row = field(default_factory=dict)
    versions: list[Row] = field(default_factory=list)
    notes: dict[str, Row] = field(default_factory=dict)
    drafts: list[Row] = field(default_factory=draft_of_one)
    campaigns: list[Row] = field(default_factory=campaign_of_one)
    billing: Row = field(default_factory=lambda: deepcopy(PAID))
    imports: list[Row] = field(default_factory=list)  # forms that were sent
    totals: list[Row] = field(default_factory=list)
    changed: list[tuple[str, Row]] = field(default_factory=list)  # of people, invitations, keys, rules
    score_models: list[Row] = field(default_factory=lambda: [model()])
    inbox: Row = field(default_factory=inbox_of_one)
    me: Row = field(default_factory=lambda: deepcopy(ME))
    figures: list[Row] = field(default_factory=list)  # of any metric that it does not count itself
    restated: list[Row] = field(default_factory=list)  # facts that changed figures
    other_currencies: list[Row] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # what the API itself would have refused
    hostile: str | None = None  # stands in every free text of an answer

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
            {"name": name, "state": "running", "seen_at": now.isoformat()}
            for name in ("relay", "loader", "refresh", "worker")
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


@contextmanager
def serving(double: Double) -> Iterator[str]:
    """Serve the double over real HTTP; gives its address."""
    document()  # takes seconds the first time, longer than whoever asks the double waits
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()  # who connects before the server runs waits for it
        config = uvicorn.Config(application(double), log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def application(double: Double) -> FastAPI:
    """The double as an ASGI application."""
    app = FastAPI()

    @app.middleware("http")
    async def gate(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        double.asked.append((path, dict(request.query_params)))
        if found := await _refusals(request):
            double.refused.append(f"{request.method} {path}: {found}")
            errors = [{"pointer" if name.startswith("/") else "parameter": name, "detail": why} for name, why in found]
            return _problem(422, "validation_failed", "See errors.", errors)
        if (problem := double.problems.get(path)) is not None:
            status, code, detail = problem
            return _problem(status, code, detail)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if path not in {"/v1/auth/login", "/v1/auth/refresh"} and token not in double.access:
            return _problem(401, "not_authenticated", "The access token is missing or has expired.")
        response = await call_next(request)
        return response if double.hostile is None else await rewritten(response, double.hostile)

    _serve_sign_in(app, double)
    _serve_metrics(app, double)
    serve_inbox(app, double.inbox)
    serve_notes(app, double.notes, problem=_problem)
    serve_billing(app, double.billing)
    serve_drafts(app, double.drafts)
    serve_campaigns(app, double.campaigns)
    serve_access(app, double.changed)
    serve_rules(app, double.changed)
    serve_imports(app, double.imports)
    serve_scores(app, double.score_models)
    serve_webhooks(app, double.changed)
    serve_watches(app, double.changed)

    @app.get("/v1/me")
    def me() -> Row:
        return double.me

    @app.get("/v1/pipelines")
    def pipelines() -> Row:
        return {"items": [pipeline_answer(key) for key in STAGES], "next_cursor": None}

    @app.get("/v1/pipelines/{pipeline_id}")
    def pipeline(pipeline_id: str) -> Row:
        return pipeline_answer(pipeline_id)

    serve_records(app, double.changed)

    @app.get("/v1/freshness")
    def freshness() -> Row:
        return double.freshness

    @app.get("/v1/warehouse-versions")
    def warehouse_versions() -> Row:
        return {"items": double.versions, "next_cursor": None}

    return app


async def _refusals(request: Request) -> list[tuple[str, str]]:
    kind, query = request.headers.get("content-type", ""), dict(request.query_params)
    return refusals(request.method, request.url.path, query, await request.body(), kind)


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
        for group, deals in grouped(cohort_of(double.deals, asked), asked.get("group_by")).items():
            rows += funnel_rows_of(deals, asked, group)
        groups_ = grouped(cohort_of(double.deals, asked), asked.get("group_by"))
        totals = [placed(deals, asked, group) for group, deals in groups_.items()]
        return _answer(double, "funnel", asked, rows) | {"totals": totals if any(t["cohort"] for t in totals) else []}

    @app.get("/v1/metrics/team_performance")
    def team_performance(request: Request) -> Row:
        asked = dict(request.query_params)
        groups = grouped(of_pipeline(double.deals, asked), asked["group_by"].removeprefix("top_"))
        return _answer(
            double, "team_performance", asked, [team_row(deals, asked, key) for key, deals in groups.items()]
        )

    @app.get("/v1/metrics/funnel/rows")
    def funnel_rows(request: Request) -> Row:
        asked = dict(request.query_params)
        position = int(asked["stage_id"].rpartition("-")[2])
        cohort = cohort_of(double.deals, asked)
        if "group" in asked:
            cohort = grouped(cohort, asked["group_by"])[asked["group"]]
        deals = [deal for deal in cohort if counts(deal, position, asked, asked["measure"])]
        return _page(deals, asked)

    @app.get("/v1/metrics/team_performance/rows")
    def team_rows(request: Request) -> Row:
        asked = dict(request.query_params)
        deals = of_pipeline(double.deals, asked)
        wanted = asked["group"]
        mine = [deal for deal in deals if wanted in (deal.owner, OWNERS[deal.owner][1])]
        return _page([deal for deal in mine if is_counted(deal, asked["measure"], asked)], asked)

    @app.get("/v1/metrics/{metric}")
    def any_other(metric: str, request: Request) -> Row:
        return _answer(double, metric, dict(request.query_params), double.figures) | {"totals": double.totals}

    @app.get("/v1/metrics/{metric}/restatements")
    def restatements(metric: str) -> Row:
        assert metric
        return {"before": 11, "after": 10, "difference": -1, "items": double.restated, "others": 0}

    @app.get("/v1/metrics/{metric}/rows")
    def any_other_rows(metric: str, request: Request) -> Row:
        assert metric
        return _page(double.deals[:2], dict(request.query_params))


ME: Row = {
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
                "days": deal.days,
                "value": 1,
            }
            for deal in page
        ],
        "next_cursor": str(start + limit) if start + limit < len(deals) else None,
        "total": {"count": len(deals), "amount_minor": sum(deal.amount for deal in deals)},
        "labels": LABELS | stage_names(),
    }


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
        "labels": LABELS | stage_names(),
        "notes": [],
        "other_currencies": double.other_currencies,
    }


def _problem(status: int, code: str, detail: str, errors: list[Row] | None = None) -> JSONResponse:
    return JSONResponse(
        {"type": "about:blank", "title": "Problem", "status": status, "code": code, "detail": detail, "errors": errors},
        status_code=status,
        headers={"X-Correlation-ID": "0190-test"},
        media_type="application/problem+json",
    )
