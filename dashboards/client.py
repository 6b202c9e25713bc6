"""The API, and nothing else: one function per answer, the only door of the dashboards to the outside.

Answers are kept for seconds, by sign-in and parameters. An expired access token is replaced unseen. Errors that a
person may meet:

    ApiError
    ├── UnreachableError       no API, or one that does not answer
    ├── SignedOutError         the sign-in has ended and cannot be refreshed
    ├── ForbiddenError         this person may not see it
    ├── NotReadyError          the figures have not been built yet
    └── RefusedError           the API refused the question, or failed; says why
"""

from collections.abc import Mapping
from typing import Any

import httpx
import streamlit as st

from contracts.settings import DashboardSettings
from dashboards.answers import DealsAnswer, FiguresAnswer, Freshness, FunnelAnswer, Me, Pipeline, TeamAnswer
from dashboards.session import SignIn

Parameters = Mapping[str, str | int | None]
Frozen = tuple[tuple[str, str | int], ...]
Json = dict[str, Any]

_TIMEOUT = httpx.Timeout(20.0, connect=4.0)
#: Figures of the version that a page names, as the deals behind them are: people who compare the two rather wait.
_HEADERS = {"User-Agent": "sluice-dashboards", "Cache-Control": "no-cache"}
_PAGE = 200
_MOST_PAGES = 20

#: One pool of connections per address of the API.
_clients: dict[str, httpx.Client] = {}


class ApiError(Exception):
    """The API did not answer the question. The message is written for the person who asked."""

    def __init__(self, message: str, *, code: str = "", reference: str | None = None) -> None:
        self.message, self.code, self.reference = message, code, reference
        super().__init__(message)


class UnreachableError(ApiError):
    """No API, or one that does not answer."""


class SignedOutError(ApiError):
    """The sign-in has ended."""


class ForbiddenError(ApiError):
    """This person may not see it."""


class NotReadyError(ApiError):
    """The figures have not been built yet."""


class RefusedError(ApiError):
    """The API refused the question, or failed."""


def log_in(email: str, password: str) -> SignIn:
    """Sign in with a person's own account. Raises RefusedError with the API's words for a wrong password."""
    response = _send("POST", "/v1/auth/login", json={"email": email.strip(), "password": password})
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise RefusedError("The e-mail address or the password is not right.", code="wrong_credentials")
    body = _body(response)
    return SignIn(access_token=body["access_token"], refresh_token=body["refresh_token"])


def log_out(sign_in: SignIn) -> None:
    """Revoke the sign-in. An API that cannot be reached leaves the tokens to expire."""
    token = sign_in.access_token
    try:
        response = _send("POST", "/v1/auth/logout", token=token)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            _refresh(sign_in, token)
            _send("POST", "/v1/auth/logout", token=sign_in.access_token)
    except ApiError:
        return


def me(sign_in: SignIn) -> Me:
    """Who is signed in, and their organization."""
    return Me.model_validate(_kept_a_minute(sign_in, "/v1/me", ()))


def pipelines(sign_in: SignIn) -> list[Pipeline]:
    """The active pipelines with their stages."""
    answer = _kept_a_minute(sign_in, "/v1/pipelines", (("limit", 100),))
    return [pipeline for item in answer["items"] if (pipeline := Pipeline.model_validate(item)).is_active]


def freshness(sign_in: SignIn) -> Freshness:
    """How fresh and how sound the figures are, not older than two seconds."""
    return Freshness.model_validate(_kept_briefly(sign_in, "/v1/freshness", ()))


def funnel(sign_in: SignIn, parameters: Parameters, *, version: str | None = None) -> FunnelAnswer:
    """The funnel. `version` is the warehouse version the page knows of: a newer one asks anew."""
    answer = _kept(sign_in, "/v1/metrics/funnel", _frozen(parameters), version)
    return FunnelAnswer.model_validate(answer)


def team_performance(sign_in: SignIn, parameters: Parameters, *, version: str | None = None) -> TeamAnswer:
    """Figures per owner or team. `version` as for the funnel."""
    answer = _kept(sign_in, "/v1/metrics/team_performance", _frozen(parameters), version)
    return TeamAnswer.model_validate(answer)


def figures(sign_in: SignIn, metric: str, parameters: Parameters, *, version: str | None = None) -> FiguresAnswer:
    """Any metric, its rows as they come. `version` as for the funnel."""
    return FiguresAnswer.model_validate(_kept(sign_in, f"/v1/metrics/{metric}", _frozen(parameters), version))


def deals_behind(sign_in: SignIn, metric: str, parameters: Parameters, *, version: str | None = None) -> DealsAnswer:
    """The deals behind one figure, up to 4,000 of them; `total` counts all."""
    pages: list[DealsAnswer] = []
    cursor: str | None = None
    while len(pages) < _MOST_PAGES:
        asked = _frozen({**parameters, "limit": _PAGE, "cursor": cursor})
        pages.append(DealsAnswer.model_validate(_kept(sign_in, f"/v1/metrics/{metric}/rows", asked, version)))
        cursor = pages[-1].next_cursor
        if cursor is None:
            break
    labels = {key: label for page in pages for key, label in page.labels.items()}
    items = [deal for page in pages for deal in page.items]
    return DealsAnswer(items=items, next_cursor=cursor, total=pages[0].total, labels=labels)


def _frozen(parameters: Parameters) -> Frozen:
    return tuple(sorted((name, value) for name, value in parameters.items() if value is not None))


# A sign-in is told from others by its random key, because its tokens change. Failures are never kept.
_BY_KEY: dict[str | type, Any] = {SignIn: lambda sign_in: sign_in.key}


@st.cache_data(ttl=30, max_entries=1000, show_spinner=False, hash_funcs=_BY_KEY)
def _kept(sign_in: SignIn, path: str, parameters: Frozen, version: str | None) -> Json:
    del version  # part of the cache's key only
    return _get(sign_in, path, parameters)


@st.cache_data(ttl=60, max_entries=1000, show_spinner=False, hash_funcs=_BY_KEY)
def _kept_a_minute(sign_in: SignIn, path: str, parameters: Frozen) -> Json:
    return _get(sign_in, path, parameters)


@st.cache_data(ttl=2, max_entries=1000, show_spinner=False, hash_funcs=_BY_KEY)
def _kept_briefly(sign_in: SignIn, path: str, parameters: Frozen) -> Json:
    return _get(sign_in, path, parameters)


def _get(sign_in: SignIn, path: str, parameters: Frozen) -> Json:
    token = sign_in.access_token
    response = _send("GET", path, token=token, parameters=parameters)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        _refresh(sign_in, token)
        response = _send("GET", path, token=sign_in.access_token, parameters=parameters)
    return _body(response)


def _refresh(sign_in: SignIn, stale_token: str) -> None:
    """Replace the tokens, unless another tab just did: a refresh token works only once."""
    with sign_in.lock:
        if sign_in.access_token != stale_token:
            return
        response = _send("POST", "/v1/auth/refresh", json={"refresh_token": sign_in.refresh_token})
        if response.is_client_error and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            sign_in.ended = True
            raise SignedOutError("Your sign-in has ended. Please sign in again.")
        body = _body(response)
        sign_in.access_token, sign_in.refresh_token = body["access_token"], body["refresh_token"]


def close() -> None:
    """Close the connections to the API."""
    for url in list(_clients):
        _clients.pop(url).close()


def _http(base_url: str) -> httpx.Client:
    if base_url not in _clients:
        # Two threads may both make one; the loser's is closed when it is collected.
        made = httpx.Client(base_url=base_url, timeout=_TIMEOUT, headers=_HEADERS)
        _clients.setdefault(base_url, made)
    return _clients[base_url]


def _send(
    method: str,
    path: str,
    *,
    token: str | None = None,
    parameters: Frozen = (),
    json: Json | None = None,
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return _http(DashboardSettings().api_url).request(
            method, path, params=dict(parameters), json=json, headers=headers
        )
    except httpx.TimeoutException as error:
        raise UnreachableError("Sluice took too long to answer.") from error
    except httpx.TransportError as error:
        raise UnreachableError("Sluice cannot be reached at the moment.") from error


def _body(response: httpx.Response) -> Json:
    """The answer's body, or the error that its problem document describes."""
    if response.is_success:
        body: Json = response.json()
        return body
    problem = _problem(response)
    message = str(problem.get("detail") or problem.get("title") or "Sluice could not answer this.")
    code = str(problem.get("code", ""))
    reference = response.headers.get("X-Correlation-ID")
    error: type[ApiError] = RefusedError
    if response.status_code == httpx.codes.UNAUTHORIZED:
        error, message = SignedOutError, "Your sign-in has ended. Please sign in again."
    elif response.status_code == httpx.codes.FORBIDDEN:
        error = ForbiddenError
    elif response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        error = NotReadyError
    elif response.is_server_error:
        message = "Something went wrong inside Sluice. It was not caused by your choices on this page."
    raise error(message, code=code, reference=reference)


def _problem(response: httpx.Response) -> Json:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
