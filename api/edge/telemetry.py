"""Around every request: its correlation id, one log line, its count and duration, and the last resort for errors."""

import logging
import time
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from api.edge.limits import Standing
from api.edge.logs import correlation_id as current_correlation_id
from api.edge.problems import problem_response
from api.kernel.errors import CrmError

HEADER = "X-Correlation-ID"

_log = logging.getLogger("sluice.api")
_QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestFigures:
    """Prometheus figures of requests, by route template (never by path: paths hold ids)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route", "status")
        self._count = Counter("sluice_http_requests", "Requests answered.", labels, registry=registry)
        self._seconds = Histogram(
            "sluice_http_request_seconds",
            "Time until the answer was complete.",
            ("method", "route"),
            registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self._found: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def record(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """Count one answer, and how long it took."""
        labels = (method, route, status)
        found = self._found.get(labels)
        if found is None:  # asked of the library, which takes a lock and makes texts of them, once
            found = self._found[labels] = (self._count.labels(*labels), self._seconds.labels(method, route))
        count, duration = found
        count.inc()
        duration.observe(seconds)


class Telemetry:
    """ASGI middleware, the outermost one of ours."""

    def __init__(self, app: ASGIApp, *, figures: RequestFigures) -> None:
        self._app, self._figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at, status = time.perf_counter(), 0
        correlation_id = _correlation_id(Headers(scope=scope).get(HEADER))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        shown_id = str(correlation_id)
        header = (HEADER.lower().encode(), shown_id.encode())
        token = current_correlation_id.set(shown_id)

        async def send_tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header, *_standing(scope)]
            await send(message)

        try:
            await self._app(scope, receive, send_tagged)
        except Exception:  # noqa: BLE001 # the edge of the request: a fault is logged whole and answered without its trace
            _log.exception("request failed")
            if status == 0:
                fault = CrmError("Something went wrong on our side. Quote the correlation id when you report it.")
                answer = problem_response(fault, correlation_id=shown_id, instance=scope["path"])
                await answer(scope, receive, send_tagged)
        finally:
            self._record(scope, status=status, seconds=time.perf_counter() - started_at)
            current_correlation_id.reset(token)

    def _record(self, scope: Scope, *, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", None) or "unmatched"
        self._figures.record(scope["method"], route, status, seconds=seconds)
        if scope["path"] not in _QUIET_PATHS:
            fields = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
            _log.info("request", extra={"fields": fields})


def _standing(scope: Scope) -> list[tuple[bytes, bytes]]:
    """How the caller's allowance stands, where one was taken from."""
    standing: Standing | None = scope["state"].get("standing")
    if standing is None:
        return []
    return [(name.lower().encode(), value.encode()) for name, value in standing.headers.items()]


def _correlation_id(given: str | None) -> UUID:
    """The caller's, if it is a UUID; events store it as one."""
    try:
        return UUID(given) if given else uuid7()
    except ValueError:
        return uuid7()
