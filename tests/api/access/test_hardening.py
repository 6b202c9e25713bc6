"""What every answer says to browsers and caches, whom `/metrics` answers, and what a slow or nameless sender gets."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.edge import hardening
from tests.factories import Account, Api


async def test_every_answer_says_that_it_is_not_kept_framed_or_guessed_at(api: Api, owner: Account) -> None:
    for answer in (
        await owner.get("/v1/me"),
        await api.http.get("/v1/me"),
        await api.http.post("/v1/auth/login", json={"email": owner.email, "password": owner.password}),
        await api.http.get("/nowhere"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_the_reference_loads_nothing_from_anywhere(api: Api) -> None:
    answer = await api.http.get("/docs")
    assert answer.status_code == 200
    assert "/v1/deals" in answer.text
    for loading in ("<script", "http://", "https://", "src="):
        assert loading not in answer.text


async def test_a_host_that_is_not_ours_is_echoed_nowhere(api: Api) -> None:
    answer = await api.http.get("/v1/deals/", headers={"Host": "evil.example"})
    assert answer.status_code == 404
    assert "evil" not in answer.text + str(answer.headers)


async def test_405_names_every_method_of_the_path(owner: Account) -> None:
    answer = await owner.call("PUT", f"/v1/deals/{owner.user_id}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, PATCH")


async def test_a_path_that_is_spelled_out_is_no_id(owner: Account) -> None:
    for method, path, allowed in (
        ("DELETE", "/v1/api-keys/scopes", "GET"),
        ("PUT", "/v1/exchange-rates/import", "POST"),
        ("GET", "/v1/imports/preview", "POST"),
    ):
        answer = await owner.call(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


async def test_thousands_of_mistakes_are_told_briefly(owner: Account) -> None:
    answer = await owner.post("/v1/companies", json={"name": "x"} | {f"unknown{n}": 1 for n in range(20_000)})
    assert answer.status_code == 422
    assert len(answer.content) < 20_000
    assert "of 20000" in answer.json()["detail"]


@pytest.mark.parametrize("tag", ["*", '"1"', '"7", "1"'])
async def test_p3_if_match_takes_a_list_and_whichever_there_is(owner: Account, tag: str) -> None:
    path = f"/v1/organizations/{owner.organization_id}"
    answer = await owner.call("PATCH", path, headers={"If-Match": tag}, json={"name": "Renamed"})
    assert answer.status_code == 200, answer.text


class TestFiguresOfTheInstallation:
    async def _status(self, api: Api, peer: str, **headers: str) -> int:
        transport = httpx.ASGITransport(api.app, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return (await client.get("/metrics", headers=headers)).status_code

    async def test_only_this_machine_and_no_proxy_reads_them(self, api: Api) -> None:
        assert await self._status(api, "127.0.0.1") == 200
        assert await self._status(api, "203.0.113.7") == 404
        assert await self._status(api, "127.0.0.1", **{"X-Forwarded-For": "203.0.113.7"}) == 404
        assert await self._status(api, "203.0.113.7", Authorization="Bearer ") == 404


class TestBodies:
    async def test_without_a_sign_in_no_byte_of_a_body_is_read(self, api: Api) -> None:
        read = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            for _ in range(100):
                read += 1
                yield b"x" * 1024

        headers = {"Idempotency-Key": "k", "Content-Type": "multipart/form-data; boundary=b"}
        for path in ("/v1/imports", "/v1/companies"):
            answer = await api.http.post(path, content=body(), headers=headers)
            assert answer.status_code == 401
        assert read == 0

    async def test_a_body_that_trickles_is_cut_off(
        self, api: Api, owner: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hardening, "_PART_SECONDS", 0.2)
        sent: list[Any] = []
        parts = iter([{"type": "http.request", "body": b"{", "more_body": True}])

        async def receive() -> Any:
            part = next(parts, None)
            if part is None:
                await asyncio.sleep(60)
            return part

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/companies",
            "raw_path": b"/v1/companies",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("api", 80),
            "client": ("127.0.0.1", 1),
            "headers": [
                (b"authorization", f"Bearer {owner.access_token}".encode()),
                (b"content-type", b"application/json"),
            ],
        }
        await api.app(scope, receive, send)
        assert sent[0]["status"] == 408
        assert json.loads(sent[1]["body"])["code"] == "request_timeout"
