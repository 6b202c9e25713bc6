"""Makes organizations and users through the API, as people do; for every test that calls the API.

api = await start_api(database)
owner = await api.sign_up()
rep = await owner.add_user(role=Role.REP)
answer = await rep.post("/v1/deals", json={...})
"""

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast
from uuid import UUID

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from api.main import create_app
from contracts.access import Role
from contracts.calls.call import Answer, Call
from contracts.settings import ApiSettings, DatabaseSettings, MailSettings, WarehouseSettings
from tests.conftest import Database

PASSWORD = "a long enough phrase"
SECRET_KEY = "a secret key of throw-away servers"

_numbers = itertools.count(1)


def api_settings(**changes: Any) -> ApiSettings:
    """Settings with cheap password hashes."""
    return ApiSettings(
        **{"secret_key": SecretStr(SECRET_KEY), "password_hash_memory_kib": 64, "limits_are_on": False, **changes}
    )


@dataclass
class Account:
    """Someone signed in: an HTTP client that sends their token."""

    api: "Api"
    email: str
    password: str
    access_token: str
    refresh_token: str
    organization_id: UUID
    user_id: UUID

    #: Tests count what is published, however long a busy machine takes.
    _HEADERS: ClassVar = {"Cache-Control": "no-cache"}

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = self._HEADERS | {"Authorization": f"Bearer {self.access_token}"} | options.pop("headers", {})
        return await self.api.http.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("POST", path, **options)

    async def patch(self, path: str, *, version: int | None = None, **options: Any) -> httpx.Response:
        """PATCH based on `version`; the present one where none is given."""
        return await self._conditional("PATCH", path, version, options)

    async def delete(self, path: str, *, version: int | None = None, **options: Any) -> httpx.Response:
        """DELETE based on `version`; the present one where none is given."""
        return await self._conditional("DELETE", path, version, options)

    async def made(self, path: str, **options: Any) -> dict[str, Any]:
        """POST, and insist that it worked."""
        answer = await self.post(path, **options)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def read(self, path: str, **options: Any) -> dict[str, Any]:
        """GET, and insist that it worked."""
        answer = await self.get(path, **options)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ask(self, call: Call[Answer]) -> Answer:
        """Send a call of `contracts.calls`, and insist that it worked."""
        answer = await self.call(
            call.method, call.path, json=call.body, params=list(call.pairs), headers=dict(call.headers)
        )
        assert answer.is_success, answer.text
        return cast("Answer", answer.json() if answer.content else None)

    async def add_user(self, *, role: Role = Role.REP, **fields: Any) -> "Account":
        """Make a user of this organization and sign them in."""
        body = {"email": new_email(role), "name": f"Kim {role}", "password": PASSWORD, "role": role, **fields}
        user = await self.made("/v1/users", json=body)
        account = await self.api.sign_in(body["email"], body["password"])
        assert account.user_id == UUID(user["id"])
        return account

    async def _conditional(
        self, method: str, path: str, version: int | None, options: dict[str, Any]
    ) -> httpx.Response:
        if version is None:
            version = (await self.read(path))["version"]
        headers = {"If-Match": f'"{version}"'} | options.pop("headers", {})
        return await self.call(method, path, headers=headers, **options)


@dataclass
class Api:
    """The application, called without a network."""

    app: FastAPI
    http: httpx.AsyncClient
    accounts: list[Account] = field(default_factory=list)

    async def sign_up(self, **fields: Any) -> Account:
        """A new organization; answers its owner."""
        body = {
            "email": new_email("owner"),
            "password": PASSWORD,
            "name": "Robin Owner",
            "organization_name": "Acme",
            **fields,
        }
        answer = await self.http.post("/v1/auth/signup", json=body)
        assert answer.status_code == 201, answer.text
        return self._account(body["email"], body["password"], answer.json())

    async def sign_in(self, email: str, password: str = PASSWORD, **fields: Any) -> Account:
        """Another sign-in of someone."""
        body = {"email": email, "password": password, **fields}
        answer = await self.http.post("/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        me = await self.http.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        ids = {"organization_id": me.json()["organization"]["id"], "user_id": me.json()["id"]}
        return self._account(email, password, tokens | ids)

    async def close(self) -> None:
        """Close the client and the connections."""
        await self.http.aclose()
        await self.app.state.services.database.close()

    def _account(self, email: str, password: str, tokens: dict[str, Any]) -> Account:
        account = Account(
            api=self,
            email=email,
            password=password,
            access_token=tokens["access_token"],
            refresh_token=tokens["refresh_token"],
            organization_id=UUID(tokens["organization_id"]),
            user_id=UUID(tokens["user_id"]),
        )
        self.accounts.append(account)
        return account


async def start_api(
    database: Database,
    *,
    pool_size: int = 10,
    warehouse: WarehouseSettings | None = None,
    mail: MailSettings | None = None,
    **settings: Any,
) -> Api:
    """The API on a database. Close it afterwards, in the same event loop."""
    database_settings = DatabaseSettings(database_url=SecretStr(database.app_url), database_pool_size=pool_size)
    app = create_app(api_settings(**settings), database_settings, warehouse=warehouse, mail=mail)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return Api(app, httpx.AsyncClient(transport=transport, base_url="http://api", timeout=60))


def new_email(name: str) -> str:
    """An address that nobody has."""
    return f"{name}-{next(_numbers)}@example.com"
