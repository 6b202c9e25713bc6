"""One request, one unit of work: the route opens it, the endpoint works in it, the route commits before it answers.

Slices make their router with `slice_router`. Around each endpoint the route also keeps the answer for a repeated
`Idempotency-Key` and sets the `ETag` of resources. It refuses a parameter that the endpoint does not have: a filter
whose name is misspelt would otherwise answer with everything.
"""

from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.edge import idempotency
from api.edge.permissions import PERMISSIONS
from api.edge.services import services_of
from api.edge.tokens import claims_of
from api.kernel.database import begun
from api.kernel.errors import CrmError
from api.kernel.unit_of_work import UnitOfWork

#: Bodies may have this many bytes; imports say otherwise for themselves.
LARGEST_BODY = 2 * 1024 * 1024
#: Requests by these methods read; their transactions can do nothing else.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Problem(BaseModel):
    """An error, after RFC 9457. Branch on `code`."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str | None = None
    correlation_id: str | None = None
    errors: list[dict[str, Any]] | None = None


class TransactionRoute(APIRoute):
    """A route whose endpoint runs in one unit of work."""

    #: Whether the endpoint asks another service: then its unit only reads, and holds no connection meanwhile. It stores
    #: what it learned in a unit of its own; what makes repeating it safe is the key it gives that service.
    waits_for_others = False

    def __init__(self, *args: Any, max_body_size: int | None = None, **more: Any) -> None:  # noqa: ANN401 # FastAPI's
        # of the route, not of the application: around that nobody makes problems of ours of what it refuses
        self.largest_body = max_body_size or LARGEST_BODY
        super().__init__(*args, max_body_size=self.largest_body, **more)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any route does; but a path that is spelled out somewhere is nobody's id."""
        match, child = super().matches(scope)
        if match is not Match.NONE and self.param_convertors and scope["path"] in scope["app"].state.spelled_paths:
            return Match.NONE, {}
        return match, child

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler: commit after the answer is rendered, before it is sent."""
        answer = super().get_route_handler()
        waits_for_others, is_resource = self.waits_for_others, _is_resource(self.response_model)
        permission = PERMISSIONS.get(self.name)
        is_open = permission is not None and permission.is_open
        is_large = self.largest_body > LARGEST_BODY
        fields = get_flat_params(self.dependant)
        parameters = frozenset(field.alias for field in fields if isinstance(field.field_info, Query))

        async def in_transaction(request: Request) -> Response:
            if request.scope["query_string"]:
                _refuse_unknown(request, parameters)
            if not waits_for_others and request.method == "POST" and idempotency.HEADER in request.headers:
                if not is_open:
                    claims_of(request)  # nobody's body is read
                if not is_large:
                    await request.body()  # the fingerprint needs it, and forms would consume it
            try:
                return await _in_unit(request, answer, is_resource, waits_for_others or request.method in SAFE_METHODS)
            except idempotency.Replay as replay:
                return replay.response

        return in_transaction


class ByPath:
    """ASGI inside a router: finds a request's route among those whose paths begin like its own.

    The router tries all of three hundred, one after the other: what it would find, it is asked for only where nothing
    is found here, which is what is refused.
    """

    def __init__(self, router: APIRouter) -> None:
        self._router, self._all = router, router.middleware_stack
        self._spelled: dict[str, list[APIRoute]] = {}
        self._beginning: dict[str, list[APIRoute]] = {}
        for route in router.routes:
            if isinstance(route, APIRoute):
                found = self._beginning if route.param_convertors else self._spelled
                key = _beginning(route.path_format) if route.param_convertors else route.path_format
                found.setdefault(key, []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "")
        known = self._spelled.get(path) or self._beginning.get(_beginning(path), [])
        if scope["type"] == "http" and not scope.get("root_path"):
            for route in known:
                match, child = route.matches(scope)
                if match is Match.FULL:
                    scope.update(child, router=self._router)
                    await route.handle(scope, receive, send)
                    return
        await self._all(scope, receive, send)


def _beginning(path: str) -> str:
    """`/v1/deals` of `/v1/deals/{deal_id}/move`."""
    return "/".join(path.split("/", 3)[:3])


class OutsideRoute(TransactionRoute):
    """A route whose endpoint asks another service."""

    waits_for_others = True


_Answer = Callable[[Request], Coroutine[Any, Any, Response]]


async def _in_unit(request: Request, answer: _Answer, is_resource: bool, is_reading: bool) -> Response:  # ours alone
    unit = UnitOfWork(services_of(request).database.pool, is_reading=is_reading)
    state = request.state
    state.unit, state.idempotency_key = unit, None
    async with begun(unit):
        response = await answer(request)
        await unit.begin()  # an endpoint that asked for nothing has let nobody in yet, nor refused anybody
        if is_resource:
            _tag(response)
        if state.idempotency_key is not None and response.status_code < 300:
            state.idempotency_key.keep(unit, response)
    return response


def _tag(response: Response) -> None:
    if "etag" not in response.headers:
        response.headers["ETag"] = f'"{from_json(bytes(response.body))["version"]}"'


def _refuse_unknown(request: Request, parameters: frozenset[str]) -> None:
    known = f"The parameters are {', '.join(sorted(parameters))}." if parameters else "There are no parameters."
    unknown = [
        {"type": "unknown_parameter", "loc": ("query", name), "msg": f"There is no such parameter. {known}"}
        for name in request.query_params
        if name not in parameters
    ]
    if unknown:
        raise RequestValidationError(unknown)


def _is_resource(model: Any) -> bool:  # noqa: ANN401 # whatever an endpoint declared
    return isinstance(model, type) and issubclass(model, BaseModel) and {"id", "version"} <= set(model.model_fields)


def problems(*errors: type[CrmError]) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: the problems that an endpoint may answer, by status, each with its code."""
    by_status: dict[int | str, list[type[CrmError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(f"`{error.code}`: {_first_line(error)}" for error in kinds),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, kinds in by_status.items()
    }


def _first_line(error: type[CrmError]) -> str:
    return (error.__doc__ or error.title).strip().splitlines()[0]


def slice_router(
    *, prefix: str, tags: list[str | Enum], route_class: type[TransactionRoute] = TransactionRoute
) -> APIRouter:
    """A router under /v1 whose endpoints run in transactions; operation ids are the functions' names."""
    return APIRouter(
        prefix=f"/v1{prefix}",
        tags=tags,
        route_class=route_class,
        generate_unique_id_function=lambda route: route.name,
    )


async def unit_of(request: Request) -> UnitOfWork:
    """The unit of work that the route opened for a request."""
    unit: UnitOfWork = request.state.unit
    return unit


#: The request's unit of work.
Unit = Annotated[UnitOfWork, Depends(unit_of)]
