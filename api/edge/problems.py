"""Turns every error into a problem document: the edge where exceptions of a request end."""

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.routing import Match

from api.edge.languages import ENGLISH, language_of, translated
from api.edge.routing import LARGEST_BODY
from api.kernel.errors import (
    Conflict,
    CrmError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RequestTimeout,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
    ValidationFailed,
)

#: A body with thousands of mistakes is told of the first ones.
_MOST_ERRORS = 50
_MEDIA_TYPE = "application/problem+json"

#: What the framework refuses by itself, as errors of ours.
_OF_FRAMEWORK: dict[int, type[CrmError]] = {
    kind.status: kind for kind in (NotFound, MethodNotAllowed, RequestTimeout, PayloadTooLarge, UnsupportedMediaType)
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
    error: CrmError, *, correlation_id: str | None = None, instance: str | None = None, language: str = ENGLISH
) -> JSONResponse:
    """The answer that an error is."""
    document = translated(error.problem(), language) | {"instance": instance, "correlation_id": correlation_id}
    headers = {"Content-Language": language, "Vary": "Accept-Language", **error.headers}
    return JSONResponse(document, status_code=error.status, headers=headers, media_type=_MEDIA_TYPE)


def too_large(request: Request) -> JSONResponse:
    """The answer to a body that is larger than its path takes."""
    return _answer(request, PayloadTooLarge(request.scope.get(MAX_BODY_SIZE_SCOPE_KEY, LARGEST_BODY)))


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
    return problem_response(
        error,
        correlation_id=str(request.state.correlation_id),
        instance=request.scope["path"],
        language=language_of(request),
    )


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
    answer = _of_framework(error)
    answer.headers |= error.headers or {}
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return _answer(request, answer)


def _of_framework(error: HTTPException) -> CrmError:
    kind = _OF_FRAMEWORK.get(error.status_code, InvalidRequest if error.status_code < 500 else CrmError)
    if kind is PayloadTooLarge:
        return PayloadTooLarge(LARGEST_BODY)
    if kind is NotFound:
        return NotFound()
    return kind() if kind is not InvalidRequest else InvalidRequest(str(error.detail))


def _methods(request: Request) -> set[str]:
    """Every method of the path, also of routes that declare one each."""
    fitting = (route for route in request.app.router.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in fitting for method in getattr(route, "methods", None) or ()}


async def _on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return _answer(request, InvalidRequest("The body is not valid JSON."))
    wrong = ValidationFailed()
    if len(found) > _MOST_ERRORS:
        wrong.detail = f"{wrong.detail} The first {_MOST_ERRORS} of {len(found)} are shown."
    wrong.errors = [_field_problem(item) for item in found[:_MOST_ERRORS]]
    return _answer(request, wrong)


def _field_problem(item: dict[str, Any]) -> dict[str, Any]:
    """One wrong field. Never the value: it may be a password."""
    place, *path = item["loc"] or ("body",)
    found = {"code": item["type"], "detail": item["msg"]}
    if place == "body":
        return found | {"pointer": "".join(f"/{_escaped(part)}" for part in path)}
    return found | {"parameter": ".".join(str(part) for part in path), "in": place}


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
