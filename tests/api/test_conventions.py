"""What holds for every endpoint: retries, versions, pages, problems, correlation, limits."""

import asyncio
import json
import logging
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from api.edge.dependencies import SignedIn, SignedInWriter
from api.edge.logs import JsonFormatter
from api.edge.routing import slice_router
from api.identity import records
from contracts.access import Role
from tests.api.tenants import examples_of, operations
from tests.conftest import Database
from tests.factories import Account, Api, new_email


def count(database: Database, query: str, *values: Any) -> int:
    with psycopg.connect(database.admin_url) as admin:
        row = admin.execute(query.encode(), values).fetchone()
    assert row is not None
    return int(row[0])


class TestIdempotencyKey:
    async def test_p1_50_parallel_posts_have_one_effect(self, api_database: Database, owner: Account) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        answers = await asyncio.gather(
            *(owner.post("/v1/teams", json={"name": "Once"}, headers=key) for _ in range(50))
        )
        assert {answer.status_code for answer in answers} <= {201, 409}
        created = [answer for answer in answers if answer.status_code == 201]
        assert len({answer.text for answer in created}) == 1
        assert all(answer.json()["code"] == "request_in_progress" for answer in answers if answer.status_code == 409)
        again = await owner.post("/v1/teams", json={"name": "Once"}, headers=key)
        assert (again.status_code, again.text) == (201, created[0].text)
        assert again.headers["ETag"] == created[0].headers["ETag"] == '"1"'
        assert again.headers["Idempotency-Replayed"] == "true"
        team_id = again.json()["id"]
        assert count(api_database, "select count(*) from teams where organization_id = %s", owner.organization_id) == 1
        assert count(api_database, "select count(*) from event_log where aggregate_id = %s", team_id) == 1

    async def test_p1_the_same_key_for_another_request_is_422(self, owner: Account) -> None:
        key = {"Idempotency-Key": "k"}
        await owner.made("/v1/teams", json={"name": "One"}, headers=key)
        answer = await owner.post("/v1/teams", json={"name": "Two"}, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")

    async def test_p1_an_error_is_not_kept(self, owner: Account) -> None:
        await owner.made("/v1/teams", json={"name": "Taken"})
        key = {"Idempotency-Key": "retry"}
        assert (await owner.post("/v1/teams", json={"name": "taken"}, headers=key)).status_code == 409
        [team] = (await owner.read("/v1/teams"))["items"]
        assert (await owner.patch(f"/v1/teams/{team['id']}", json={"name": "Free"})).status_code == 200
        assert (await owner.post("/v1/teams", json={"name": "taken"}, headers=key)).status_code == 201

    async def test_p1_keys_are_ones_own(self, owner: Account) -> None:
        admin = await owner.add_user(role=Role.ADMIN)
        key = {"Idempotency-Key": "mine"}
        first = await owner.made("/v1/teams", json={"name": "First"}, headers=key)
        second = await admin.made("/v1/teams", json={"name": "Second"}, headers=key)
        assert first["id"] != second["id"]

    async def test_without_a_key_a_repeated_post_is_another_one(self, owner: Account) -> None:
        first = await owner.made("/v1/companies", json={"name": "Twice"})
        assert (await owner.made("/v1/companies", json={"name": "Twice"}))["id"] != first["id"]

    async def test_a_password_is_not_kept(self, api_database: Database, owner: Account) -> None:
        body = {"email": new_email("rep"), "name": "Kim", "password": "CANARY passphrase", "role": "rep"}
        await owner.made("/v1/users", json=body, headers={"Idempotency-Key": "with a password"})
        stored = "select count(*) from idempotency_keys where encode(body, 'escape') like '%%CANARY%%'"
        assert count(api_database, stored) == 0


class TestSignedIn:
    """Endpoints that have the sign-in checked by the first wait, and never wait."""

    @pytest.fixture(autouse=True)
    def endpoints(self, api: Api) -> None:
        router = slice_router(prefix="/idle", tags=["idle"])

        @router.get("")
        async def look(signed_in: SignedIn) -> UUID:
            return signed_in.user_id

        @router.post("", status_code=201)
        async def act(signed_in: SignedInWriter) -> UUID:
            return signed_in.user_id

        api.app.router.routes.extend(router.routes)

    async def test_a7_a_sign_in_that_has_ended_gets_no_answer(self, owner: Account) -> None:
        for method, status in (("GET", 200), ("POST", 201)):
            assert (await owner.call(method, "/v1/idle")).status_code == status
        await owner.post("/v1/auth/logout")
        for method in ("GET", "POST"):
            assert_problem(await owner.call(method, "/v1/idle"), 401, "unauthenticated")

    async def test_a_role_that_may_only_read_gets_no_answer_to_a_change(self, owner: Account) -> None:
        analyst = await owner.add_user(role=Role.ANALYST)
        assert (await analyst.get("/v1/idle")).status_code == 200
        assert_problem(await analyst.post("/v1/idle"), 403, "forbidden")

    async def test_p1_the_answer_is_kept_for_its_key(self, owner: Account) -> None:
        answers = [await owner.post("/v1/idle", headers={"Idempotency-Key": "idle"}) for _ in range(2)]
        assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]
        assert answers[0].text == answers[1].text


class TestPrecondition:
    async def test_p3_of_50_parallel_patches_one_wins(self, owner: Account) -> None:
        team = await owner.made("/v1/teams", json={"name": "Contested"})
        path = f"/v1/teams/{team['id']}"
        answers = await asyncio.gather(
            *(owner.patch(path, version=1, json={"name": f"Winner {number}"}) for number in range(50))
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] + [412] * 49
        [won] = [answer for answer in answers if answer.status_code == 200]
        now = await owner.get(path)
        assert now.json() == won.json()
        assert now.headers["ETag"] == won.headers["ETag"] == '"2"'

    @pytest.mark.parametrize("tag", ['"99"', '"1', "1", 'W/"1"', '""', '"²"', '"' + "9" * 40 + '"'])
    async def test_p3_any_other_tag_is_412(self, owner: Account, tag: str) -> None:
        headers = {"If-Match": tag.encode()}
        answer = await owner.call("PATCH", f"/v1/organizations/{owner.organization_id}", headers=headers, json={})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")

    async def test_p3_without_a_tag_is_428(self, owner: Account) -> None:
        answer = await owner.call("PATCH", f"/v1/organizations/{owner.organization_id}", json={"name": "X"})
        assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")


class TestPages:
    @pytest.mark.parametrize("sort", [None, "name", "-updated_at"])
    async def test_p4_every_row_that_stays_is_seen_once_while_others_write(
        self, owner: Account, sort: str | None
    ) -> None:
        path, stayed = "/v1/companies", set[str]()
        others = [await owner.made(path, json={"name": f"D{number}"}) for number in range(12)]
        for number in range(25):
            stayed.add((await owner.made(path, json={"name": f"C{number}"}))["id"])

        async def write(number: int) -> None:
            """Beside each page: a new row, one that is renamed to the front or the end, one that goes."""
            await owner.made(path, json={"name": f"late {number}"})
            one, any_version = f"{path}/{others[number % len(others)]['id']}", {"If-Match": "*"}
            await owner.call("PATCH", one, headers=any_version, json={"name": f"{'AZ'[number % 2]} {number}"})
            if number % 3 == 0:
                await owner.call("DELETE", one, headers=any_version)

        seen: list[str] = []
        cursor: str | None = None
        for turn in range(60):
            parameters = {"limit": "4"} | ({"sort": sort} if sort else {}) | ({"cursor": cursor} if cursor else {})
            page, *_ = await asyncio.gather(owner.read(path, params=parameters), *(write(turn + n) for n in range(4)))
            assert len(page["items"]) <= 4
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None or stayed <= set(seen):
                break
        assert sorted(one for one in seen if one in stayed) == sorted(stayed)

    async def test_p4_a_tampered_or_foreign_cursor_is_400(self, owner: Account, stranger: Account) -> None:
        for account in (owner, stranger):
            for name in ("A", "B", "C"):
                await account.made("/v1/teams", json={"name": name})
        cursor = (await owner.read("/v1/teams", params={"limit": 1}))["next_cursor"]
        foreign = (await stranger.read("/v1/teams", params={"limit": 1}))["next_cursor"]
        middle = "A" if cursor[20] != "A" else "B"
        for wrong in (cursor[:-1], cursor[:20] + middle + cursor[21:], foreign, "x", "", "ü", cursor + "="):
            answer = await owner.get("/v1/teams", params={"limit": 1, "cursor": wrong})
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor"), wrong
        other_list = await owner.get("/v1/users", params={"cursor": cursor})
        other_filter = await owner.get("/v1/teams", params={"cursor": cursor, "is_active": True})
        assert (other_list.status_code, other_filter.status_code) == (400, 400)

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "many", "1e3", str(10**30)])
    async def test_p4_the_size_of_a_page_is_bounded(self, owner: Account, limit: str) -> None:
        assert (await owner.get("/v1/teams", params={"limit": limit})).status_code == 422


class TestProblems:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [("GET", "/v1/nowhere", 404, "not_found"), ("PUT", "/v1/teams", 405, "method_not_allowed")],
    )
    async def test_of_unknown_routes(self, owner: Account, method: str, path: str, status: int, code: str) -> None:
        answer = await owner.call(method, path)
        assert_problem(answer, status, code)

    async def test_a_parameter_that_does_not_exist_is_refused_and_changes_nothing(self, owner: Account) -> None:
        for path in ("/v1/deals", "/v1/metrics", "/v1/freshness", "/v1/me"):
            answer = await owner.get(path, params={"stauts": "SECRET", "q\u00fc": "1"})
            found = [(item["parameter"], item["in"]) for item in assert_problem(answer, 422)["errors"]]
            assert found == [("stauts", "query"), ("q\u00fc", "query")]
            assert "SECRET" not in answer.text
        assert "owner_id" in (await owner.get("/v1/deals", params={"owner": "x"})).json()["errors"][0]["detail"]
        refused = await owner.post("/v1/teams", params={"dry_run": "true"}, json={"name": "Not made"})
        assert_problem(refused, 422, "validation_failed")
        assert (await owner.read("/v1/teams"))["items"] == []

    async def test_points_at_each_wrong_field_and_repeats_no_value(self, owner: Account) -> None:
        body = {"email": "x@example.com", "name": "", "password": 5, "role": "emperor", "organization_id": "SECRET"}
        problem = assert_problem(await owner.post("/v1/users", json=body), 422, "validation_failed")
        assert {item["pointer"] for item in problem["errors"]} == {"/name", "/password", "/role", "/organization_id"}
        assert "SECRET" not in json.dumps(problem)

    @pytest.mark.parametrize(
        "body", [b"{", b"\xff\xfe", b'{"name": "\\ud800"}', b"[" * 100_000, b'{"name": "a\\u0000b"}', b"NaN", b""]
    )
    async def test_f1_hostile_bodies_are_refused(self, owner: Account, body: bytes) -> None:
        answer = await owner.post("/v1/teams", content=body, headers={"Content-Type": "application/json"})
        assert_problem(answer, answer.status_code)
        assert answer.status_code in {400, 422}

    async def test_a_body_that_is_too_large_is_413(self, owner: Account) -> None:
        async def stream() -> Any:
            for _ in range(50):
                yield b" " * 100_000

        for content in (b" " * 3_000_000, stream()):
            answer = await owner.post("/v1/teams", content=content, headers={"Content-Type": "application/json"})
            assert_problem(answer, 413, "payload_too_large")

    async def test_without_a_token_is_401(self, api: Api) -> None:
        answer = await api.http.get("/v1/me")
        assert_problem(answer, 401, "unauthenticated")

    async def test_a_fault_is_answered_without_its_trace(
        self, owner: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_given: Any, **_page: Any) -> None:
            raise RuntimeError("CANARY")

        monkeypatch.setattr(records.USERS, "bind", broken)
        answer = await owner.get("/v1/users")
        assert_problem(answer, 500, "internal_error")
        assert "CANARY" not in answer.text
        [record] = [record for record in caplog.records if record.exc_info]
        logged = json.loads(JsonFormatter().format(record))
        assert "CANARY" in logged["exception"]


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["correlation_id"] == answer.headers["X-Correlation-ID"]
    assert code in {None, problem["code"]}
    return problem


class TestCorrelation:
    async def test_goes_in_out_and_into_the_event(self, api_database: Database, owner: Account) -> None:
        given = str(uuid4())
        answer = await owner.post("/v1/teams", json={"name": "T"}, headers={"X-Correlation-ID": given})
        assert answer.headers["X-Correlation-ID"] == given
        found = "select count(*) from event_log where correlation_id = %s and actor_id = %s and actor = 'user'"
        assert count(api_database, found, given, owner.user_id) == 1

    async def test_a_line_of_log_has_it_and_no_query(self, owner: Account, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "sluice.api"):
            await owner.get("/v1/teams?is_active=true", headers={"X-Correlation-ID": "not a uuid é".encode()})
        [record] = [record for record in caplog.records if record.name == "sluice.api"]
        assert record.__dict__["fields"] | {"ms": 0} == {"method": "GET", "route": "/v1/teams", "status": 200, "ms": 0}


class TestOperations:
    async def test_alive_ready_and_measured(self, api: Api, owner: Account) -> None:
        await owner.get("/v1/teams")
        assert (await api.http.get("/healthz")).json() == {"status": "alive"}
        assert (await api.http.get("/readyz")).json() == {"status": "ready"}
        figures = (await api.http.get("/metrics")).text
        assert 'sluice_http_requests_total{method="GET",route="/v1/teams",status="200"} 1.0' in figures
        assert str(owner.organization_id) not in figures

    async def test_openapi_names_every_operation_once_and_shows_problems(self, api: Api) -> None:
        document = (await api.http.get("/openapi.json")).json()
        operations = [found for path in document["paths"].values() for found in path.values()]
        names = [operation["operationId"] for operation in operations]
        assert len(names) == len(set(names))
        assert all(name.replace("_", "").isalnum() for name in names)
        assert all({"422", "429", "503"} <= operation["responses"].keys() for operation in operations)
        assert {"not_found", "rate_limited", "deal_closed"} <= set(
            document["components"]["schemas"]["ErrorCode"]["enum"]
        )
        assert "Problem" in document["components"]["schemas"]

    async def test_openapi_shows_an_example_of_every_body(self, api: Api) -> None:
        document = (await api.http.get("/openapi.json")).json()
        lacking = [one.name for one in operations(document) if not examples_of(document, one)]
        assert lacking == []
