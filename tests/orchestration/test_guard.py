"""Dagster's pages behind the guard, over real HTTP; what lies behind is a program that tells what reached it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from orchestration import pages
from orchestration.docs import write_index
from orchestration.guard import COOKIE, Guard
from runtime.process import free_port
from tests.eventually import eventually

TOKEN = "operators-only-0123456789"
MUTATION = {"query": "mutation { launchRun }"}


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 200 to whatever is let through."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None})
        await send({"type": "websocket.close", "code": 1000})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"pages"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    guard = Guard(behind, token=TOKEN, hosts=[f"127.0.0.1:{port}", "dagster.example.com"])
    server = uvicorn.Server(uvicorn.Config(guard, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started, what="the guard listens")
    yield port
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def browser(port: int) -> Iterator[httpx.Client]:
    """One that nobody has signed in with."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Accept": "text/html"}) as client:
        yield client


@pytest.fixture
def signed_in(browser: httpx.Client) -> httpx.Client:
    answer = browser.post("/sign-in", data={"token": TOKEN}, headers={"Origin": str(browser.base_url).rstrip("/")})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    kept = answer.headers["set-cookie"].lower()
    assert "httponly" in kept
    assert "samesite=strict" in kept
    return browser


def test_strangers_are_led_to_the_sign_in_and_see_nothing_else(browser: httpx.Client) -> None:
    answer = browser.get("/runs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    page = browser.get("/sign-in")
    assert "Operators' token" in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    # under `no-referrer` browsers would send `Origin: null` with the form, and nobody could sign in
    assert page.headers["referrer-policy"] == "same-origin"
    for path in ("/graphql", "/logs/x", "/download_debug/x", "/server_info", "/%2e%2e/graphql", "//graphql"):
        assert browser.get(path, headers={"Accept": "*/*"}).status_code == 401, path
    assert browser.post("/graphql", json=MUTATION).status_code in (401, 403)
    assert browser.get("/healthz").text == "ok"


def test_whoever_knows_the_token_is_let_in_until_they_sign_out(signed_in: httpx.Client) -> None:
    origin = {"Origin": str(signed_in.base_url).rstrip("/")}
    assert signed_in.get("/runs").text == "pages"
    assert signed_in.post("/graphql", json=MUTATION, headers=origin).text == "pages"
    assert signed_in.post("/sign-out", headers=origin).status_code == 303
    assert signed_in.get("/runs").status_code == 303


@pytest.mark.parametrize("given", ["", "wrong", TOKEN[:-1], TOKEN + "x", "x" * 5000])
def test_no_other_token_is_taken(browser: httpx.Client, given: str) -> None:
    own = {"Origin": str(browser.base_url).rstrip("/")}
    answer = browser.post("/sign-in", data={"token": given}, headers=own)
    assert answer.status_code in (401, 413)
    assert "set-cookie" not in answer.headers
    bearer = browser.get("/runs", headers={"Authorization": f"Bearer {given or 'x'}", "Accept": "*/*"})
    assert bearer.status_code == 401


@pytest.mark.parametrize("forged", ["", "9999999999.", "9999999999.00", "x.y", "1.0", '"', "a=b; c"])
def test_a_forged_cookie_is_none(browser: httpx.Client, forged: str) -> None:
    assert browser.get("/runs", headers={"Cookie": f"{COOKIE}={forged}"}).status_code == 303


def test_a_cookie_ends(signed_in: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 13 * 3600
    monkeypatch.setattr("orchestration.guard.time.time", lambda: later)
    assert signed_in.get("/runs").status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "dagster.example.com.evil", "dagster.example.com:81", ""]
)
def test_a_name_that_somebody_made_point_here_is_not_served(signed_in: httpx.Client, host: str) -> None:
    for path in ("/runs", "/healthz", "/sign-in"):
        assert signed_in.get(path, headers={"Host": host}).status_code in (400, 421), path


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://dagster.example.com", None]
)
def test_a_foreign_page_changes_nothing_by_the_cookie_of_an_operator(
    signed_in: httpx.Client, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    assert signed_in.post("/graphql", json=MUTATION, headers=headers).status_code == 403
    assert signed_in.post("/report_asset_materialization/x", json={}, headers=headers).status_code == 403
    assert signed_in.post("/sign-out", headers=headers).status_code == 403
    assert signed_in.get("/runs").text == "pages"


def test_no_query_travels_in_an_address_or_as_a_form(signed_in: httpx.Client) -> None:
    own = {"Origin": str(signed_in.base_url).rstrip("/")}
    for method in ("GET", "HEAD"):
        for accept in ("text/html", "*/*"):
            answer = signed_in.request(method, "/graphql", params=MUTATION, headers={"Accept": accept})
            assert (answer.status_code, answer.headers.get("allow")) == (405, "POST")
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/graphql",
        "text/plain;application/json",
    ):
        headers = own | {"Content-Type": kind}
        assert signed_in.post("/graphql", params=MUTATION, content=b"{}", headers=headers).status_code == 415
    assert signed_in.get("/graphql").text == "pages"  # the playground, which posts


def test_a_program_sends_the_token_and_needs_no_page(port: int) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    at = f"http://127.0.0.1:{port}/graphql"
    assert httpx.post(at, json=MUTATION, headers=bearer).text == "pages"
    assert httpx.post(at, json=MUTATION, headers=bearer | {"Host": "dagster.example.com"}).text == "pages"
    assert httpx.post(at, json=MUTATION, headers=bearer | {"Origin": "http://evil.example"}).status_code == 403


def test_a_socket_is_opened_by_the_pages_of_an_operator_alone(port: int, signed_in: httpx.Client) -> None:
    cookie, own = {"Cookie": f"{COOKIE}={signed_in.cookies[COOKIE]}"}, f"http://127.0.0.1:{port}"

    def open_socket(headers: dict[str, str], origin: str | None) -> None:
        page = Origin(origin) if origin else None
        with connect(f"ws://127.0.0.1:{port}/graphql", origin=page, additional_headers=headers):
            pass

    open_socket(cookie, own)
    refused: list[tuple[dict[str, Any], str | None]] = [({}, own), (cookie, "http://evil.example"), (cookie, None)]
    for headers, origin in refused:
        with pytest.raises(InvalidStatus):
            open_socket(headers, origin)


def test_the_program_that_serves_dagster_serves_the_guard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served: list[Any] = []
    monkeypatch.setattr(pages, "_serve", lambda app, **options: served.append((app, options)))
    monkeypatch.setattr(uvicorn, "run", uvicorn.run)
    monkeypatch.setattr("orchestration.program.main", lambda _argv: uvicorn.run(behind, port=1))
    monkeypatch.setenv("SLUICE_DAGSTER_TOKEN", TOKEN)
    monkeypatch.setenv("SLUICE_DAGSTER_HOME", str(tmp_path))
    pages.main([])
    [(app, options)] = served
    assert isinstance(app, Guard)
    write_index(tmp_path / "quality" / "docs")
    client = TestClient(app, base_url="http://127.0.0.1:3000", headers={"Authorization": f"Bearer {TOKEN}"})
    page = client.get("/docs/")
    assert "Great Expectations" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]  # none of others', who would be the operator
    assert TestClient(app, base_url="http://127.0.0.1:3000").get("/docs/").status_code == 401
    assert options == {"port": 1}
