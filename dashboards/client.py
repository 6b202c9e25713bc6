"""The API's answers: one function per answer that several pages share, and verbs for whatever one page alone reads or
writes.

Answers of figures are kept for seconds, by sign-in and parameters; what the verbs read is not, and a write forgets what
is kept of pipelines and people. How requests travel, and the errors that a person may meet, is `transport`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx
import streamlit as st

from contracts.calls import custom_fields, metrics
from contracts.calls import pipelines as pipeline_calls
from contracts.calls import sign_in as sign_in_calls
from contracts.calls import teams as team_calls
from contracts.calls import users as user_calls
from contracts.calls.call import Answer, Call
from contracts.calls.schemas import ProviderRead, WarehouseVersionRead
from dashboards import transport
from dashboards.answers import DealsAnswer, FiguresAnswer, Freshness, FunnelAnswer, Me, Pipeline, TeamAnswer
from dashboards.session import SignIn
from dashboards.transport import ApiError as ApiError
from dashboards.transport import ConflictError as ConflictError
from dashboards.transport import ForbiddenError as ForbiddenError
from dashboards.transport import Frozen, Json
from dashboards.transport import NotReadyError as NotReadyError
from dashboards.transport import RefusedError as RefusedError
from dashboards.transport import SignedOutError as SignedOutError
from dashboards.transport import StaleError as StaleError
from dashboards.transport import UnreachableError as UnreachableError
from dashboards.transport import close as close

Parameters = Mapping[str, str | int | None]

_PAGE = 200
_MOST_PAGES = 20


@dataclass(frozen=True)
class Resource:
    """A resource as the API answered it, and the version that a change of it names."""

    body: Json
    etag: str | None

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # JSON is what it is
        return self.body[name]


def log_in(email: str, password: str, code: str | None = None) -> SignIn:
    """Sign in with a person's own account.

    Raises:
        RefusedError: with the API's words for a wrong password; its code is `second_factor_needed` where a code lacks.
    """
    return transport.log_in(email, password, code)


def ask_signed_out(call: Call[Answer]) -> Answer:
    """Send a call that needs no sign-in, such as following a link from a mail."""
    return transport.ask_signed_out(call)


@st.cache_data(ttl=60, show_spinner=False)
def sign_in_providers() -> list[ProviderRead]:
    """The providers that people may sign in by."""
    return transport.ask_signed_out(sign_in_calls.list_sign_in_providers())["items"]


def signed_in(tokens: Mapping[str, object]) -> SignIn:
    """The sign-in that an answer of tokens begins."""
    return SignIn(access_token=str(tokens["access_token"]), refresh_token=str(tokens["refresh_token"]))


def log_out(sign_in: SignIn) -> None:
    """Revoke the sign-in. An API that cannot be reached leaves the tokens to expire."""
    transport.log_out(sign_in)


def ask(sign_in: SignIn, call: Call[Answer]) -> Answer:
    """Send a call of `contracts.calls`: the answer has the type that the call says.

    Raises:
        ConflictError, StaleError, RefusedError: as `post` and `patch`.
    """
    response = transport.send(
        sign_in, call.method, call.path, parameters=call.pairs, json=call.body, headers=call.headers
    )
    body = transport.body_of(response) if response.content else None  # of what is refused there is always one
    if call.method != "GET":
        _kept_a_minute.clear()
    return cast("Answer", body)


def ask_all(sign_in: SignIn, listing: Callable[..., Call[Any]], *, most: int = 1000) -> list[Any]:
    """The items of a list, page by page, until there are `most`: `listing` is a call that takes a `cursor`."""
    items: list[Any] = []
    cursor: str | None = None
    while len(items) < most:
        page = ask(sign_in, listing(cursor=cursor))
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return items[:most]


def get(sign_in: SignIn, path: str, parameters: Parameters | None = None) -> Resource:
    """Read anything, as it is now."""
    return _resource(transport.send(sign_in, "GET", path, parameters=_frozen(parameters or {})))


def get_all(sign_in: SignIn, path: str, parameters: Parameters | None = None, *, most: int = 1000) -> list[Json]:
    """The items of a list, page by page, until there are `most`."""
    items: list[Json] = []
    cursor: str | None = None
    while len(items) < most:
        page = get(sign_in, path, {"limit": min(most, 100), **(parameters or {}), "cursor": cursor}).body
        items += page["items"]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    return items[:most]


def post(sign_in: SignIn, path: str, body: Json | None = None, *, key: str | None = None) -> Resource:
    """Create or do something. With a `key` (Idempotency-Key) that a form keeps, sending it twice does it once.

    Raises:
        ConflictError: it contradicts what is there (409).
        RefusedError: with `fields`, what is wrong with which field (422).
    """
    headers = {"Idempotency-Key": key} if key else {}
    return _written(transport.send(sign_in, "POST", path, json={} if body is None else body, headers=headers))


def stream(sign_in: SignIn, call: Call[bytes], *, key: str) -> Iterator[tuple[str, Json]]:
    """Have something made and see it come: events by their names. With the same `key` it is the same one.

    Raises:
        ConflictError, RefusedError: as `post`; also after some of it has come.
    """
    return transport.stream(sign_in, call.path, json=call.body, headers={"Idempotency-Key": key})


def upload(sign_in: SignIn, path: str, files: Sequence[tuple[str, tuple[str, bytes]]], **fields: str) -> Json:
    """Send files as a form, each by the field that says what it holds."""
    return transport.body_of(transport.send(sign_in, "POST", path, form=transport.Form(files, fields)))


def get_file(sign_in: SignIn, path: str) -> bytes:
    """A file, as it is now."""
    response = transport.send(sign_in, "GET", path)
    if not response.is_success:
        transport.body_of(response)
    return response.content


def patch(sign_in: SignIn, path: str, body: Json, *, etag: str | None) -> Resource:
    """Change a resource of which `etag` was read.

    Raises:
        StaleError: somebody changed it since (412); `get` shows what it is now.
    """
    return _written(transport.send(sign_in, "PATCH", path, json=body, headers=_if_match(etag)))


def put(sign_in: SignIn, path: str, body: Json, *, etag: str | None = None) -> Resource:
    """Set a resource as a whole. As `patch`."""
    return _written(transport.send(sign_in, "PUT", path, json=body, headers=_if_match(etag)))


def delete(sign_in: SignIn, path: str, *, etag: str | None = None) -> None:
    """Delete a resource of which `etag` was read. As `patch`."""
    _written(transport.send(sign_in, "DELETE", path, headers=_if_match(etag)))


def _if_match(etag: str | None) -> dict[str, str]:
    return {"If-Match": etag} if etag else {}


def _resource(response: httpx.Response) -> Resource:
    return Resource(transport.body_of(response), response.headers.get("ETag"))


def _written(response: httpx.Response) -> Resource:
    written = _resource(response)
    _kept_a_minute.clear()
    return written


def me(sign_in: SignIn) -> Me:
    """Who is signed in, and their organization."""
    return Me.model_validate(_kept_a_minute(sign_in, user_calls.read_me().path, ()))


def pipelines(sign_in: SignIn) -> list[Pipeline]:
    """The active pipelines with their stages."""
    answer = _kept_a_minute(sign_in, pipeline_calls.list_pipelines().path, (("limit", 100),))
    return [pipeline for item in answer["items"] if (pipeline := Pipeline.model_validate(item)).is_active]


def people(sign_in: SignIn) -> dict[str, str]:
    """Names of the active people, by id."""
    return _names(sign_in, user_calls.list_users().path)


def teams(sign_in: SignIn) -> dict[str, str]:
    """Names of the active teams, by id."""
    return _names(sign_in, team_calls.list_teams().path)


def fields_of_deals(sign_in: SignIn) -> list[Json]:
    """The custom fields that deals have."""
    asked = _frozen({"record_kind": "deal", "is_retired": "false", "limit": 100})
    found: list[Json] = _kept_a_minute(sign_in, custom_fields.list_custom_fields().path, asked)["items"]
    return found


def _names(sign_in: SignIn, path: str) -> dict[str, str]:
    names: dict[str, str] = {}
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = _kept_a_minute(sign_in, path, _frozen({"limit": 100, "cursor": cursor}))
        names |= {one["id"]: one["name"] for one in page["items"] if one.get("is_active", True)}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return names


def freshness(sign_in: SignIn) -> Freshness:
    """How fresh and how sound the figures are, not older than two seconds."""
    return Freshness.model_validate(_kept_briefly(sign_in, metrics.read_freshness().path, ()))


def kept_versions(sign_in: SignIn) -> list[WarehouseVersionRead]:
    """The versions of the figures that can be asked by name, not older than a minute."""
    found: list[WarehouseVersionRead] = _kept_a_minute(sign_in, metrics.list_warehouse_versions().path, ())["items"]
    return found


def funnel(sign_in: SignIn, parameters: Parameters, *, version: str | None = None) -> FunnelAnswer:
    """The funnel. `version` is the warehouse version the page knows of: a newer one asks anew."""
    return FunnelAnswer.model_validate(_figure(sign_in, "funnel", parameters, version))


def team_performance(sign_in: SignIn, parameters: Parameters, *, version: str | None = None) -> TeamAnswer:
    """Figures per owner or team. `version` as for the funnel."""
    return TeamAnswer.model_validate(_figure(sign_in, "team_performance", parameters, version))


def figures(sign_in: SignIn, metric: str, parameters: Parameters, *, version: str | None = None) -> FiguresAnswer:
    """Any metric, its rows as they come. `version` as for the funnel."""
    return FiguresAnswer.model_validate(_figure(sign_in, metric, parameters, version))


def _figure(sign_in: SignIn, metric: str, parameters: Parameters, version: str | None) -> Json:
    return _kept(sign_in, metrics.read_metric(metric).path, _named(parameters), version)


def deals_behind(sign_in: SignIn, metric: str, parameters: Parameters, *, version: str | None = None) -> DealsAnswer:
    """The deals behind one figure, up to 4,000 of them; `total` counts all."""
    pages: list[DealsAnswer] = []
    cursor: str | None = None
    while len(pages) < _MOST_PAGES:
        asked = _named({**parameters, "limit": _PAGE, "cursor": cursor})
        rows = metrics.list_metric_rows(metric).path
        pages.append(DealsAnswer.model_validate(_kept(sign_in, rows, asked, version)))
        cursor = pages[-1].next_cursor
        if cursor is None:
            break
    labels = {key: label for page in pages for key, label in page.labels.items()}
    items = [deal for page in pages for deal in page.items]
    return DealsAnswer(items=items, next_cursor=cursor, total=pages[0].total, labels=labels)


def restatements(sign_in: SignIn, metric: str, parameters: Parameters) -> Json:
    """The facts that changed a figure since `from_as_of`, and the figure then and now."""
    return _kept_a_minute(sign_in, metrics.list_restatements(metric, from_as_of="").path, _frozen(parameters))


def _named(parameters: Parameters) -> Frozen:
    """The question; an answer of a past instant names nobody unless it is asked to, as people are called today."""
    return _frozen({**parameters, "names": "today"} if parameters.get("as_of") else parameters)


def download(sign_in: SignIn, metric: str, parameters: Parameters) -> bytes:
    """All deals behind a figure as CSV."""
    call = metrics.download_metric_rows(metric)
    asked = _frozen({**parameters, "names": "today"})
    response = transport.send(sign_in, call.method, call.path, parameters=asked)
    if not response.is_success:
        transport.body_of(response)
    return response.content


def _frozen(parameters: Parameters) -> Frozen:
    return tuple(sorted((name, value) for name, value in parameters.items() if value is not None))


# A sign-in is told from others by its random key, because its tokens change. Failures are never kept.
_BY_KEY: dict[str | type, Any] = {SignIn: lambda sign_in: sign_in.key}


@st.cache_data(ttl=30, max_entries=1000, show_spinner=False, hash_funcs=_BY_KEY)
def _kept(sign_in: SignIn, path: str, parameters: Frozen, version: str | None) -> Json:
    del version  # part of the cache's key only
    return transport.body_of(transport.send(sign_in, "GET", path, parameters=parameters))


@st.cache_data(ttl=60, max_entries=1000, show_spinner=False, hash_funcs=_BY_KEY)
def _kept_a_minute(sign_in: SignIn, path: str, parameters: Frozen) -> Json:
    return transport.body_of(transport.send(sign_in, "GET", path, parameters=parameters))


@st.cache_data(ttl=2, max_entries=1000, show_spinner=False, hash_funcs=_BY_KEY)
def _kept_briefly(sign_in: SignIn, path: str, parameters: Frozen) -> Json:
    return transport.body_of(transport.send(sign_in, "GET", path, parameters=parameters))
