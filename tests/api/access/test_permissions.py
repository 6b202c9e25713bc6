"""A-10: every operation of the API stands in one matrix, and what it says is what happens, for every role and key."""

from typing import Any
from uuid import uuid4

import pytest_asyncio
from fastapi import FastAPI

from api.edge.permissions import PERMISSIONS, SCOPES, Permission
from contracts.access import Role
from tests.factories import Account, Api

_REFUSALS = {"forbidden", "scope_missing", "owners_are_for_owners"}


def _operations(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Method and path of each operation that OpenAPI tells of."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }


def test_a10_the_matrix_and_openapi_know_the_same_operations(api: Api) -> None:
    assert set(_operations(api.app)) == set(PERMISSIONS)


def test_a10_scopes_read_or_write(api: Api) -> None:
    found = _operations(api.app)
    for name, permission in PERMISSIONS.items():
        if permission.scope is not None:
            is_reading = permission.scope.endswith(":read")
            assert not is_reading or found[name][0] == "GET", name


@pytest_asyncio.fixture
async def everybody(owner: Account) -> dict[Role, Account]:
    return {Role.OWNER: owner} | {role: await owner.add_user(role=role) for role in Role if role is not Role.OWNER}


async def _attempt(api: Api, permission: Permission, token: str) -> tuple[int, str]:
    """Ask for an operation of a resource that does not exist: what comes back says only whether one may."""
    method, path = _operations(api.app)[permission.operation]
    for name in ("name", "kind"):
        path = path.replace(f"{{{name}}}", "source" if "picklists" in path else "funnel")
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + str(uuid4()) + rest.partition("}")[2]
    headers = {"Authorization": f"Bearer {token}", "If-Match": '"1"'}
    body: dict[str, Any] = {} if method in {"GET", "DELETE"} else {"json": {}}
    answer = await api.http.request(method, path, headers=headers, **body)
    code = answer.json().get("code", "") if answer.content and answer.status_code >= 400 else ""
    return answer.status_code, code


async def test_a10_each_role_may_do_what_the_matrix_says(api: Api, everybody: dict[Role, Account]) -> None:
    for permission in PERMISSIONS.values():
        if permission.is_open or permission.operation == "log_out":
            continue
        for role, account in everybody.items():
            status, code = await _attempt(api, permission, account.access_token)
            assert status < 500 or code == "warehouse_not_ready", (permission.operation, code)
            if role in permission.roles:
                assert code not in _REFUSALS, (permission.operation, role, code)
            elif status != 422:  # a body that does not fit is refused before anybody asks for whom
                assert (status, code) == (403, "forbidden"), (permission.operation, role)


async def test_a10_without_a_sign_in_nothing_but_what_is_open(api: Api) -> None:
    for permission in PERMISSIONS.values():
        status, code = await _attempt(api, permission, "nobody's")
        if not permission.is_open:
            assert (status, code) == (401, "unauthenticated"), permission.operation


async def test_a9_a_key_does_what_its_scopes_say_and_nothing_else(api: Api, owner: Account) -> None:
    async def key(scopes: frozenset[str]) -> str:
        made: str = (await owner.made("/v1/api-keys", json={"name": "k", "scopes": sorted(scopes)}))["key"]
        return made

    full = await key(SCOPES)
    without = {scope: await key(SCOPES - {scope}) for scope in SCOPES}
    for permission in PERMISSIONS.values():
        if permission.is_open:
            continue
        if permission.scope is not None:
            status, code = await _attempt(api, permission, full)
            assert code not in _REFUSALS, (permission.operation, code)
        status, code = await _attempt(api, permission, without.get(permission.scope or "", full))
        assert status == 422 or (status, code) == (403, "scope_missing"), permission.operation
