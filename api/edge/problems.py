"""Turns every error into a problem document: the edge where exceptions of a request end."""

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.kernel.errors import Conflict, CrmError, InvalidRequest, Unavailable, Unprocessable

#: A body with thousands of mistakes is told of the first ones.
_MOST_ERRORS = 50
_MEDIA_TYPE = "application/problem+json"

_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "payload_too_large",
    415: "unsupported_media_type",
}

#: Another attempt may succeed: a lock or statement took too long, two transactions blocked each other, no connection.
_RETRIABLE = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.OperationalError,
)


def problem_response(
    error: CrmError, *, correlation_id: str | None = None, instance: str | None = None
) -> JSONResponse:
    """The answer that an error is."""
    document = error.problem()
    document |= {"instance": instance, "correlation_id": correlation_id}
    return JSONResponse(document, status_code=error.status, headers=error.headers, media_type=_MEDIA_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[JSONResponse]]] = {
        CrmError: _on_crm_error,
        RequestValidationError: _on_invalid_request,
        HTTPException: _on_http_exception,
        psycopg.Error: _on_database_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _answer(request: Request, error: CrmError) -> JSONResponse:
    return problem_response(error, correlation_id=str(request.state.correlation_id), instance=request.scope["path"])


async def _on_crm_error(request: Request, error: CrmError) -> JSONResponse:
    return _answer(request, error)


async def _on_database_error(request: Request, error: psycopg.Error) -> JSONResponse:
    if isinstance(error, _RETRIABLE):
        return _answer(request, Unavailable())
    if isinstance(error, psycopg.DataError):
        return _answer(request, Unprocessable("A value of this request cannot be stored."))
    if isinstance(error, psycopg.IntegrityError):
        return _answer(request, Conflict("This contradicts something that exists."))
    raise error


async def _on_http_exception(request: Request, error: HTTPException) -> JSONResponse:
    code = _CODES.get(error.status_code, "invalid_request" if error.status_code < 500 else "internal_error")
    document = {
        "type": f"urn:sluice:problem:{code}",
        "title": str(error.detail),
        "status": error.status_code,
        "code": code,
        "detail": str(error.detail),
        "instance": request.scope["path"],
        "correlation_id": str(request.state.correlation_id),
    }
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return JSONResponse(document, status_code=error.status_code, headers=headers, media_type=_MEDIA_TYPE)


def _methods(request: Request) -> set[str]:
    """Every method of the path, also of routes that declare one each."""
    fitting = (route for route in request.app.router.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in fitting for method in getattr(route, "methods", None) or ()}


async def _on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return _answer(request, InvalidRequest("The body is not valid JSON."))
    wrong = Unprocessable("The request does not fit the schema; `errors` says where.")
    document = wrong.problem() | {
        "code": "validation_failed",
        "type": "urn:sluice:problem:validation_failed",
        "instance": request.scope["path"],
        "correlation_id": str(request.state.correlation_id),
        "errors": [_field_problem(item) for item in found[:_MOST_ERRORS]],
    }
    if len(found) > _MOST_ERRORS:
        document["detail"] = f"{document['detail']} The first {_MOST_ERRORS} of {len(found)} are shown."
    return JSONResponse(document, status_code=wrong.status, media_type=_MEDIA_TYPE)


def _field_problem(item: dict[str, Any]) -> dict[str, Any]:
    """One wrong field. Never the value: it may be a password."""
    place, *path = item["loc"] or ("body",)
    found = {"code": item["type"], "detail": item["msg"]}
    if place == "body":
        return found | {"pointer": "".join(f"/{_escaped(part)}" for part in path)}
    return found | {"parameter": ".".join(str(part) for part in path), "in": place}


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
