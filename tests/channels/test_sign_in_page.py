"""A Telegram account is connected on the page Accounts: number, code and password, wrong ones in between."""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from playwright.sync_api import Page, expect

from ingest.channels import telegram_sign_in
from ingest.channels.api import Api
from runtime.process import ManagedProcess, ProcessSpec, free_port
from tests.api.crm.conftest import Crm, Member
from tests.api.live.conftest import served
from tests.channels.conftest import Connection, soon
from tests.channels.telegram_server import TelegramServer
from tests.channels.test_telegram import PHONE, connected
from tests.factories import PASSWORD
from tests.screenshots import browser, chromium, settle, sign_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium: apt-get install chromium"),
]
_EMAIL = "owner@us.example"
_PATIENCE = 120_000


@pytest_asyncio.fixture
async def owner(crm: Crm) -> Member:
    """Somebody who can sign in on a page."""
    transport = httpx.ASGITransport(crm.app)
    http = httpx.AsyncClient(transport=transport, base_url="http://api", timeout=60)
    body = {"email": _EMAIL, "password": PASSWORD, "name": "Robin", "organization_name": "Acme"}
    (await http.post("/v1/auth/signup", json=body)).raise_for_status()
    signed = (await http.post("/v1/auth/login", json={"email": _EMAIL, "password": PASSWORD})).json()
    http.headers["Authorization"] = f"Bearer {signed['access_token']}"
    me = (await http.get("/v1/me")).json()
    return Member(UUID(me["organization"]["id"]), UUID(me["id"]), http)


def _dashboards(api_port: int, folder: Path) -> tuple[ManagedProcess, str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/_stcore/health").is_success
        except httpx.TransportError:
            return False

    spec = ProcessSpec(
        name="dashboards",
        argv=[sys.executable, "-m", "runtime.serve", "dashboards"],
        env={"SLUICE_API_URL": f"http://127.0.0.1:{api_port}", "SLUICE_DASHBOARDS_PORT": str(port)},
        ready=answers,
    )
    process = ManagedProcess(spec, log_path=folder / "dashboards.log")
    process.start()
    process.wait_ready()
    return process, url


def _click_through(url: str, code: str, folder: Path) -> None:
    """All that a person does, from the number to the account that works."""
    with browser() as chrome:
        page = chrome.new_page(viewport={"width": 1280, "height": 1400}, locale="en-GB")
        page.set_default_timeout(_PATIENCE)
        sign_in(page, f"{url}/accounts", email=_EMAIL, password=PASSWORD)
        page.get_by_role("combobox", name="Channel").click()
        page.get_by_role("option", name="Telegram").click()
        settle(page)
        page.get_by_role("textbox", name="Name", exact=True).fill("Our number")
        page.get_by_role("textbox", name="Phone number with country code").fill(PHONE)
        page.get_by_role("button", name="Add", exact=True).click()
        _says(page, "Telegram has sent a code. Enter it here.")
        _keep(page, "Code", "99999")
        _says(page, "That code was wrong. Enter it again.")
        _keep(page, "Code", code)
        _says(page, "The account has a password of its own. Enter it here.")
        _keep(page, "Password", "wrong")
        _says(page, "That password was wrong. Enter it again.")
        page.screenshot(path=folder / "password.png")
        _keep(page, "Password", "correct horse")
        _says(page, "It works.")
        expect(page.get_by_text("That password was wrong")).to_have_count(0, timeout=_PATIENCE)
        settle(page)
        page.screenshot(path=folder / "works.png")


def _keep(page: Page, label: str, value: str) -> None:
    settle(page, painting=200)
    page.get_by_role("textbox", name=label, exact=True).fill(value)
    page.get_by_role("button", name="Keep", exact=True).click()


def _says(page: Page, words: str) -> None:
    expect(page.get_by_text(words)).to_be_visible(timeout=_PATIENCE)


async def _held(owner: Member, crm: Crm) -> Connection:
    async def look() -> str | None:
        items = (await owner.get("/v1/bd-accounts")).json()["items"]
        return str(items[0]["id"]) if items else None

    account_id = await soon(look, seconds=300)
    scopes = ["accounts:read", "accounts:write", "channels:write"]
    key = await owner.made("/v1/api-keys", {"name": "Channels", "scopes": scopes, "role": "admin"})
    api = Api("http://api", key["key"], transport=httpx.ASGITransport(crm.app))
    return Connection(owner, api, await api.lease(UUID(account_id), "one"))


async def test_an_account_is_connected_by_number_code_and_password_on_its_page(
    crm: Crm, owner: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_sign_in, "_LOOK_SECONDS", 0.05)
    server = await TelegramServer().start()
    server.person(PHONE, "Us", password="correct horse")
    async with served(crm.app) as port:
        process, url = await asyncio.to_thread(_dashboards, port, tmp_path)
        try:
            clicking = asyncio.create_task(asyncio.to_thread(_click_through, url, server.code, tmp_path))
            connection = await _held(owner, crm)
            async with connected(connection, server):
                await clicking
            assert (await connection.account())["state"] == "active"
        finally:
            await asyncio.to_thread(process.stop)
            await server.mtproto.stop()
            await owner.http.aclose()
