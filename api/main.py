"""The application: the routers of all slices, and what surrounds them."""

import hmac
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import psycopg
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import text

import api
from api.db.statements import compiled
from api.edge.documentation import complete
from api.edge.hardening import Hardening
from api.edge.problems import install_problem_handlers, problem_response
from api.edge.reference import POLICY, reference_page
from api.edge.routing import ByPath
from api.edge.services import Services, build_services
from api.edge.telemetry import RequestFigures, Telemetry
from api.kernel.errors import NotFound, Unavailable
from api.metrics.pipeline import COMPLETENESS, REPORTS, render_figures, report_of
from contracts.settings import ApiSettings, DatabaseSettings, MailSettings, WarehouseSettings

_PING = compiled(text("select 1 from transport_epoch limit 1"))

_DESCRIPTION = """
The operational API of Sluice. Errors are problems (RFC 9457) with a stable `code`. Lists are cursor pages. A PATCH or
DELETE needs the `ETag` you read as `If-Match`; a POST may carry an `Idempotency-Key`. Money is integer minor units
beside an ISO 4217 code, instants are RFC 3339 in UTC.
"""


def create_app(
    settings: ApiSettings,
    database: DatabaseSettings,
    *,
    warehouse: WarehouseSettings | None = None,
    mail: MailSettings | None = None,
) -> FastAPI:
    """The API, ready to be served. Connections open when it starts to serve."""
    services = build_services(settings, database, warehouse=warehouse, mail=mail)
    registry = CollectorRegistry()
    app = FastAPI(
        title="Sluice",
        version="1",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.registry = registry
    app.state.is_draining = False
    # routes at once, not routers in a router: those look for a request's route twice, in all of them
    for router in (*_slices(), _operations(services, registry)):
        app.router.routes.extend(router.routes)
    app.state.spelled_paths = frozenset(route.path for route in _routes(app) if not route.param_convertors)
    app.router.middleware_stack = ByPath(app.router)
    install_problem_handlers(app)
    app.add_middleware(Hardening)
    app.add_middleware(Telemetry, figures=RequestFigures(registry))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def _routes(app: FastAPI) -> Iterator[APIRoute]:
    return (route for route in app.router.routes if isinstance(route, APIRoute))


def _slices() -> Iterator[APIRouter]:
    """What each slice's module `endpoints` declares: its `router`, or several as `routers`."""
    for package in pkgutil.iter_modules(api.__path__, "api."):
        if package.ispkg and find_spec(f"{package.name}.endpoints"):
            endpoints = import_module(f"{package.name}.endpoints")
            yield from getattr(endpoints, "routers", None) or [endpoints.router]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    services: Services = app.state.services
    await services.post.close()
    await services.limiter.close()
    await services.database.close()
    services.figure_threads.shutdown(cancel_futures=True)
    if services.figures is not None:
        services.figures.close()


def _operations(services: Services, registry: CollectorRegistry) -> APIRouter:
    """Endpoints for whoever runs this: no authentication, no tenant data."""
    router = APIRouter(include_in_schema=False)
    figures = _of_all_workers(registry)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        if request.app.state.is_draining:
            return problem_response(Unavailable("This process is about to stop; ask another one."))
        try:
            async with services.database.reading(None) as unit:
                await unit.fetch(_PING)
        except psycopg.Error:
            return problem_response(Unavailable("PostgreSQL does not answer."))
        return JSONResponse({"status": "ready"})

    @router.get("/docs")
    async def reference(request: Request) -> Response:
        return HTMLResponse(reference_page(request.app.openapi()), headers={"Content-Security-Policy": POLICY})

    @router.get("/metrics")
    async def prometheus_figures(request: Request) -> Response:
        if not _is_of_operators(request, services.settings):
            return problem_response(NotFound("resource"))
        pipeline = b""
        with suppress(psycopg.Error):  # the figures of this process are there all the same
            async with services.database.reading(None) as unit:
                reports, channels = await unit.fetch_all(REPORTS.bind(), COMPLETENESS.bind())
                pipeline = render_figures(map(report_of, reports), channels)
        return Response(generate_latest(figures) + pipeline, media_type=CONTENT_TYPE_LATEST)

    return router


def _is_of_operators(request: Request, settings: ApiSettings) -> bool:
    """Whether a request comes from this machine, by no proxy, or brings the token of whoever collects figures."""
    token = settings.metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token is not None and hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
        return True
    has_proxy = any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP"))
    peer = request.client.host if request.client else ""
    return not has_proxy and (peer == "::1" or peer.startswith("127."))


def _of_all_workers(registry: CollectorRegistry) -> CollectorRegistry:
    """What adds up the figures of the workers beside this one; `registry` where this process is alone."""
    together = CollectorRegistry()
    try:
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the library has no types for it
    except ValueError:  # no folder was named that they share
        return registry
    return together


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        complete(document)
        app.openapi_schema = document
    return app.openapi_schema
