"""How requests reach the API, with a person's own tokens, and what becomes of answers that are errors.

An expired access token is replaced unseen. Errors that a person may meet:

    ApiError
    ├── UnreachableError       no API, or one that does not answer
    ├── SignedOutError         the sign-in has ended and cannot be refreshed
    ├── ForbiddenError         this person may not see or do it
    ├── NotReadyError          the figures have not been built yet
    ├── ConflictError          it contradicts what is there (409)
    ├── StaleError             somebody changed it since it was read (412)
    └── RefusedError           the API refused the question, or failed; says why, and of which fields
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx
from pydantic_core import from_json

from contracts.calls import schemas
from contracts.calls import sign_in as calls
from contracts.calls.call import Answer, Call
from contracts.settings import DashboardSettings
from contracts.texts import unturned
from dashboards.session import SignIn

Frozen = tuple[tuple[str, str | int], ...]
Json = dict[str, Any]

_TIMEOUT = httpx.Timeout(20.0, connect=4.0)
#: Files travel for a while, and are read to their end before the answer.
_UPLOAD_TIMEOUT = httpx.Timeout(600.0, connect=4.0)
#: What is shown as it comes begins after a while, and may pause.
_STREAM_TIMEOUT = httpx.Timeout(90.0, connect=4.0)
#: Figures of the version that a page names, as the deals behind them are: people who compare the two rather wait.
_HEADERS = {"User-Agent": "sluice-dashboards", "Cache-Control": "no-cache"}

#: One pool of connections per address of the API.
_clients: dict[str, httpx.Client] = {}


@dataclass(frozen=True)
class Form:
    """Files to be sent, each by the field that says what it holds, with its name and bytes; and text fields."""

    files: Sequence[tuple[str, tuple[str, bytes]]]
    fields: Mapping[str, str]


class ApiError(Exception):
    """The API did not answer the question. The message is written for the person who asked."""

    def __init__(
        self, message: str, *, code: str = "", reference: str | None = None, fields: Mapping[str, str] | None = None
    ) -> None:
        self.message, self.code, self.reference = message, code, reference
        self.fields: Mapping[str, str] = fields or {}
        super().__init__(message)


class UnreachableError(ApiError):
    """No API, or one that does not answer."""


class SignedOutError(ApiError):
    """The sign-in has ended."""


class ForbiddenError(ApiError):
    """This person may not see or do it."""


class NotReadyError(ApiError):
    """The figures have not been built yet."""


class ConflictError(ApiError):
    """It contradicts what is there."""


class StaleError(ApiError):
    """Somebody changed it since it was read."""


class RefusedError(ApiError):
    """The API refused the question, or failed. `fields` says what is wrong with which."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: SignedOutError,
    403: ForbiddenError,
    409: ConflictError,
    412: StaleError,
    503: NotReadyError,
}


def log_in(email: str, password: str, code: str | None = None) -> SignIn:
    """Sign in with a person's own account. Raises RefusedError for a wrong password, or a code that lacks."""
    given: schemas.SignIn = {"email": email.strip(), "password": password}
    if code:
        given["code"] = code
    call = calls.log_in(given)
    response = _send(call.method, call.path, json=call.body)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        if response.json().get("code") == "second_factor_needed":
            raise RefusedError("Enter the code that your authenticator shows.", code="second_factor_needed")
        raise RefusedError("The e-mail address or the password is not right.", code="wrong_credentials")
    body = body_of(response)
    return SignIn(access_token=body["access_token"], refresh_token=body["refresh_token"])


def ask_signed_out(call: Call[Answer]) -> Answer:
    """Send a call that needs no sign-in."""
    return cast("Answer", body_of(_send(call.method, call.path, json=call.body)))


def log_out(sign_in: SignIn) -> None:
    """Revoke the sign-in. An API that cannot be reached leaves the tokens to expire."""
    try:
        call = calls.log_out()
        send(sign_in, call.method, call.path)
    except ApiError:
        return


def send(
    sign_in: SignIn,
    method: str,
    path: str,
    *,
    parameters: Frozen = (),
    json: object = None,
    headers: Mapping[str, str] | None = None,
    form: Form | None = None,
) -> httpx.Response:
    """What the API answers this person, with a new access token where the old one has expired."""
    token = sign_in.access_token
    response = _send(method, path, token=token, parameters=parameters, json=json, headers=headers, form=form)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        _refresh(sign_in, token)
        again = sign_in.access_token
        response = _send(method, path, token=again, parameters=parameters, json=json, headers=headers, form=form)
    return response


def stream(sign_in: SignIn, path: str, *, json: object, headers: Mapping[str, str]) -> Iterator[tuple[str, Json]]:
    """Events of an answer that comes bit by bit, each with its name; one named `problem` is raised."""
    token = sign_in.access_token
    answer = _streamed(path, token, json, headers)
    if (first := next(answer, None)) is None:
        _refresh(sign_in, token)
        answer = _streamed(path, sign_in.access_token, json, headers)
        first = next(answer, None)
        if first is None:
            raise SignedOutError("Your sign-in has ended. Please sign in again.")
    yield first
    yield from answer


def _streamed(path: str, token: str, json: object, headers: Mapping[str, str]) -> Iterator[tuple[str, Json]]:
    """The events; none where the token is not good any more."""
    signed = {"Authorization": f"Bearer {token}", **headers}
    http = _http(DashboardSettings().api_url)
    try:
        with http.stream("POST", path, json=json, headers=signed, timeout=_STREAM_TIMEOUT) as response:
            if response.status_code == httpx.codes.UNAUTHORIZED:
                return
            if not response.is_success:
                response.read()
                body_of(response)
            yield from _events(response.iter_lines())
    except httpx.TimeoutException as error:
        raise UnreachableError("Sluice took too long to answer.") from error
    except httpx.TransportError as error:
        raise UnreachableError("Sluice cannot be reached at the moment.") from error


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Json]]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data: Json = _shown(from_json(value))
            if name == "problem":
                raise RefusedError(str(data.get("detail") or data.get("title")), code=str(data.get("code", "")))
            yield name, data


def body_of(response: httpx.Response) -> Json:
    """The answer's body, or the error that its problem document describes."""
    if response.is_success:
        body: Json = _shown(from_json(response.content)) if response.content else {}
        return body
    problem = _problem(response)
    message = str(problem.get("detail") or problem.get("title") or "Sluice could not answer this.")
    error = _BY_STATUS.get(response.status_code, RefusedError)
    if error is SignedOutError:
        message = "Your sign-in has ended. Please sign in again."
    elif error is RefusedError and response.is_server_error:
        message = "Something went wrong inside Sluice. It was not caused by your choices on this page."
    raise error(
        message,
        code=str(problem.get("code", "")),
        reference=response.headers.get("X-Correlation-ID"),
        fields=_fields(problem),
    )


def close() -> None:
    """Close the connections to the API."""
    for url in list(_clients):
        _clients.pop(url).close()


def _refresh(sign_in: SignIn, stale_token: str) -> None:
    """Replace the tokens, unless another tab just did: a refresh token works only once."""
    with sign_in.lock:
        if sign_in.access_token != stale_token:
            return
        call = calls.refresh_sign_in({"refresh_token": sign_in.refresh_token})
        response = _send(call.method, call.path, json=call.body)
        if response.is_client_error and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            sign_in.ended = True
            raise SignedOutError("Your sign-in has ended. Please sign in again.")
        body = body_of(response)
        sign_in.access_token, sign_in.refresh_token = body["access_token"], body["refresh_token"]


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
    json: object = None,
    headers: Mapping[str, str] | None = None,
    form: Form | None = None,
) -> httpx.Response:
    signed = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return _http(DashboardSettings().api_url).request(
            method,
            path,
            params=list(parameters),
            json=json,
            headers={**signed, **(headers or {})},
            files=list(form.files) if form else None,
            data=dict(form.fields) if form else None,
            timeout=_UPLOAD_TIMEOUT if form else _TIMEOUT,
        )
    except httpx.TimeoutException as error:
        raise UnreachableError("Sluice took too long to answer.") from error
    except httpx.TransportError as error:
        raise UnreachableError("Sluice cannot be reached at the moment.") from error


def _problem(response: httpx.Response) -> Json:
    try:
        body = _shown(from_json(response.content))
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _shown(value: Any) -> Any:  # noqa: ANN401 # JSON
    """An answer whose texts may be put beside others."""
    if isinstance(value, str):
        return value if value.isascii() else unturned(value)
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list) else value


def _fields(problem: Json) -> dict[str, str]:
    """What is wrong with which field of the body or parameter."""
    found: dict[str, str] = {}
    for each in problem.get("errors") or []:
        place = str(each.get("pointer") or each.get("parameter") or "").strip("/")
        found.setdefault(place, str(each.get("detail", "")))
    return found
