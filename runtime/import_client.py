"""The API's imports over HTTP: upload files, follow the job, fetch the error file. Knows no terminal."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpx

from contracts.calls import imports, sign_in
from contracts.calls.call import Answer, Call
from contracts.calls.schemas import ImportRead

_POLL_SECONDS = 0.2
_RETRIES = 50
_UNAVAILABLE = (502, 503, 504)


class ImportRefusedError(RuntimeError):
    """The API refused, or did not answer: says what and why."""


@dataclass(frozen=True)
class ImportFile:
    """A file and what its rows are; None: its name says so."""

    path: Path
    entity: str | None = None


class ImportClient:
    """Someone who may import, signed in at an API."""

    def __init__(self, api_url: str, *, token: str | None = None, email: str = "", password: str = "") -> None:
        self._http = httpx.Client(base_url=api_url, timeout=httpx.Timeout(60, read=300))
        self._email, self._password, self._token = email, password, token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def start(self, files: Sequence[ImportFile], options: Mapping[str, Any]) -> dict[str, Any]:
        """Upload files; answers the queued import, or what a preview found.

        Raises:
            ImportRefusedError: a file cannot be read, or the API refuses.
        """
        with ExitStack() as stack:
            parts = []
            for file in files:
                try:
                    stream = stack.enter_context(file.path.open("rb"))
                except OSError as error:
                    raise ImportRefusedError(f"{file.path}: {error.strerror}.") from error
                parts.append((file.entity or "files", (file.path.name, stream, "text/csv")))
            call = imports.start_import()
            return self._call(call.method, call.path, files=parts, data={"options": dumps(options)})

    def follow(self, import_id: str, *, watch: Callable[[ImportRead], None]) -> ImportRead:
        """Wait for an import's end, showing each state to `watch`.

        Raises:
            ImportRefusedError: the API is gone for long, or refuses.
        """
        while True:
            found = self.ask(imports.read_import(import_id))
            watch(found)
            if found["state"] in ("completed", "failed"):
                return found
            time.sleep(_POLL_SECONDS)

    def ask(self, call: Call[Answer]) -> Answer:
        """Send a call of `contracts.calls`.

        Raises:
            ImportRefusedError: the API refuses, or does not answer.
        """
        answer = self._call(call.method, call.path, json=call.body, params=call.pairs, headers=call.headers)
        return cast("Answer", answer)

    def save_errors(self, import_id: str, target: Path) -> None:
        """Download the failed rows into a file."""
        call = imports.read_import_errors(import_id)
        with self._http.stream(call.method, call.path, headers=self._headers()) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ImportRefusedError(f"The error file cannot be fetched (status {answer.status_code}).")
            with target.open("wb") as stream:
                for block in answer.iter_bytes():
                    stream.write(block)

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401 # httpx's own
        answer = self._answer(method, path, **request)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._password and method == "GET":
            # the access token ran out while a long import went on
            self._token = None
            answer = self._answer(method, path, **request)
        if answer.is_error:
            raise ImportRefusedError(_reason(answer))
        found: dict[str, Any] = answer.json()
        return found

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 # httpx's own
        attempts, sent = _RETRIES if method == "GET" else 1, request.pop("headers", {})
        for attempt in range(1, attempts + 1):
            try:
                answer = self._http.request(method, path, headers={**sent, **self._headers()}, **request)
            except httpx.TransportError as error:
                if attempt == attempts:
                    raise ImportRefusedError(f"The API at {self._http.base_url} does not answer ({error}).") from error
            else:
                if answer.status_code not in _UNAVAILABLE or attempt == attempts:
                    return answer
            time.sleep(_POLL_SECONDS)
        raise ImportRefusedError("The API does not answer.")

    def _headers(self) -> dict[str, str]:
        if self._token is None:
            self._token = self._sign_in()
        return {"Authorization": f"Bearer {self._token}"}

    def _sign_in(self) -> str:
        call = sign_in.log_in({"email": self._email, "password": self._password})
        try:
            answer = self._http.request(call.method, call.path, json=call.body)
        except httpx.TransportError as error:
            raise ImportRefusedError(f"The API at {self._http.base_url} does not answer ({error}).") from error
        if answer.is_error:
            raise ImportRefusedError(_reason(answer))
        return str(answer.json()["access_token"])


def _reason(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return f"The API answered with status {answer.status_code}."
    return str(problem.get("detail") or problem.get("title") or answer.status_code)
