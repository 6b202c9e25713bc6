"""What OpenAPI says of operations alike: which problems each may answer by what it takes, and every code there is.

What is special to an operation stands beside it (`responses=problems(…)`). What follows from how requests are served
(credentials, allowances, versions, keys, bodies, cursors) is added here: no endpoint repeats it, and none forgets it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from api.edge.dependencies import ScopeMissing, SecondFactorRequired
from api.edge.idempotency import HEADER, IdempotencyKeyReused, RequestInProgress
from api.edge.limits import RateLimited
from api.edge.permissions import PERMISSIONS
from api.edge.routing import Problem, problems
from api.kernel.errors import (
    Conflict,
    CrmError,
    Forbidden,
    InvalidCursor,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    PreconditionRequired,
    RequestTimeout,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
    ValidationFailed,
)

_EXAMPLE = {
    "type": "urn:sluice:problem:not_found",
    "title": "Not found",
    "status": 404,
    "code": "not_found",
    "detail": "There is no such deal.",
    "instance": "/v1/deals/0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
    "correlation_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e60",
}
_LANGUAGE = {
    "name": "Accept-Language",
    "in": "header",
    "required": False,
    "description": "The language of a problem's texts: English, or Russian (`ru`). `code` is the same in each.",
    "schema": {"type": "string", "examples": ["ru"]},
}


def complete(document: dict[str, Any]) -> None:
    """Add to a document what holds for its operations alike."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema() | {"examples": [_EXAMPLE]}
    schemas["Problem"]["properties"]["code"] = {"$ref": "#/components/schemas/ErrorCode"}
    schemas["ErrorCode"] = _error_codes()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _add(operation["responses"], problems(*_common(path, method, operation)))
            operation.setdefault("parameters", []).append(_LANGUAGE)


def error_kinds() -> dict[str, type[CrmError]]:
    """Every error that somebody may be answered, by its code; of several with one code the first declared."""
    found: dict[str, type[CrmError]] = {}
    for kind in _below(CrmError):
        found.setdefault(kind.code, kind)
    return dict(sorted(found.items()))


def _below(kind: type[CrmError]) -> Iterator[type[CrmError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _below(one)


def _error_codes() -> dict[str, Any]:
    kinds = error_kinds()
    lines = (f"- `{code}` ({kind.status}): {_first_line(kind)}" for code, kind in kinds.items())
    return {"type": "string", "enum": list(kinds), "description": "What went wrong:\n\n" + "\n".join(lines)}


def _first_line(kind: type[CrmError]) -> str:
    return (kind.__doc__ or kind.title).strip().splitlines()[0]


def _common(path: str, method: str, operation: dict[str, Any]) -> Iterator[type[CrmError]]:
    """What an operation may answer, whatever it does."""
    headers = {one["name"] for one in operation.get("parameters", [])}
    yield from (InvalidRequest, ValidationFailed, RateLimited, Unavailable)
    if not PERMISSIONS[operation["operationId"]].is_open:
        yield from (Unauthenticated, Forbidden, ScopeMissing, SecondFactorRequired)
    if "{" in path:
        yield NotFound
    if "cursor" in headers:
        yield InvalidCursor
    if "requestBody" in operation:
        yield from (PayloadTooLarge, RequestTimeout, UnsupportedMediaType)
    if method != "get":
        yield from (Conflict, Unprocessable)
    if HEADER in headers:
        yield from (RequestInProgress, IdempotencyKeyReused)
    if "If-Match" in headers:
        yield from (PreconditionFailed, PreconditionRequired)


def _add(responses: dict[str, Any], more: dict[int | str, dict[str, Any]]) -> None:
    for status, response in more.items():
        present = responses.get(str(status))
        if present is None or "application/problem+json" not in present.get("content", {}):
            responses[str(status)] = response
            continue
        lines: Iterable[str] = dict.fromkeys(f"{present['description']}; {response['description']}".split("; "))
        present["description"] = "; ".join(lines)
    responses.pop("default", None)
