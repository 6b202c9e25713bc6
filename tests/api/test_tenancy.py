"""G5: no organization sees, changes or infers another's data."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from itertools import count
from random import Random
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, text

from api.db.pipeline import Connection, Row
from api.db.statements import Bound, compiled
from api.edge.permissions import PERMISSIONS, SCOPES
from api.exports.lists import Exportable
from api.kernel.listing import Listing
from api.kernel.states import columns_of
from api.models.team import Team
from api.models.user import User
from api.teams import records, rules
from contracts.access import Role
from tests.api.tenants import (
    CANARY,
    UNKNOWN,
    Operation,
    asked_for,
    body_of,
    ids_in_body,
    ids_in_query,
    meant,
    operations,
    something_of_everything,
)
from tests.conftest import Database
from tests.factories import Account, Api, start_api

_WHO, _USERS = compiled(text("select current_user")), compiled(select(User.id))

#: What of a path is no id of a tenant's, and something that may stand there.
_NO_IDS = {
    "name": "source", "day": "2026-01-01", "token": "t", "epoch": "1", "part": "1", "exported": "deals",
    "flag": "webhooks", "provider": "google", "kind": "contact",
}  # fmt: skip
#: What asks another service before it looks, where none is configured.
_OF_OTHERS = frozenset({"delete_tax_id", "renew_rental"})


async def _callers(owner: Account) -> dict[str, Account]:
    """Of one organization: its owner, an administrator, a rep, and a key that may do everything."""
    key = (await owner.made("/v1/api-keys", json={"name": "all", "scopes": sorted(SCOPES)}))["key"]
    return {
        "owner": owner,
        "admin": await owner.add_user(role=Role.ADMIN),
        "rep": await owner.add_user(role=Role.REP),
        "key": replace(owner, access_token=key),
    }


def _may(caller: str, operation: Operation) -> bool:
    permission = PERMISSIONS[operation.name]
    if caller == "key":
        return permission.scope is not None
    return not permission.is_open and Role(caller) in permission.roles


async def test_t2_another_tenants_id_in_a_path_is_404(api: Api, owner: Account, stranger: Account) -> None:
    ids = await something_of_everything(stranger)
    document = (await api.http.get("/openapi.json")).json()
    callers, wrong, tried = await _callers(owner), [], 0
    for operation in operations(document):
        if set(operation.places) <= set(_NO_IDS) or operation.name in _OF_OTHERS:
            continue
        # what takes other services or hours to make has no id here: another one of the tenant's stands for it
        values = {name: _NO_IDS.get(name) or ids.get(name, ids["deal_id"]) for name in operation.places}
        for name, caller in callers.items():
            if not _may(name, operation):
                continue
            body = body_of(document, operation)
            answer = await caller.call(
                operation.method,
                operation.path.format(**values),
                headers={"If-Match": '"1"'},
                params={name: meant(ids, name) for name in asked_for(operation)},
                **({} if body is None else {"json": body}),
            )
            tried += 1
            if answer.status_code != 404 or CANARY in answer.text:
                wrong.append((operation.name, name, answer.status_code, answer.text[:200]))
    assert wrong == [], wrong
    assert tried > 300


async def test_t2_another_tenants_id_in_a_body_is_like_an_unknown_one(
    api: Api, owner: Account, stranger: Account
) -> None:
    foreign, own = await something_of_everything(stranger), await something_of_everything(owner)
    document = (await api.http.get("/openapi.json")).json()
    wrong, tried = [], 0
    for operation in operations(document):
        if not _may("owner", operation) or not set(operation.places) <= {*own, *_NO_IDS}:
            continue
        for field, is_list in ids_in_body(document, operation):
            id_ = meant(foreign, field)
            if id_ is None or field in operation.places:
                continue
            path = operation.path.format(**{name: _NO_IDS.get(name) or own[name] for name in operation.places})
            body = body_of(document, operation) or {}
            body |= {name: mine for name in body if (mine := meant(own, name)) and isinstance(body[name], str)}
            answers = [
                await owner.call(
                    operation.method,
                    path,
                    json=body | {field: [value] if is_list else value},
                    headers={"If-Match": "*"},
                )
                for value in (id_, UNKNOWN)
            ]
            problems = [(one.status_code, one.json().get("code"), one.json().get("errors")) for one in answers]
            tried += 1
            if problems[0] != problems[1] or CANARY in answers[0].text:
                wrong.append((operation.name, field, *problems))
    assert wrong == [], wrong
    assert tried >= 20


async def test_t2_another_tenants_id_in_a_query_finds_what_an_unknown_one_finds(
    api: Api, owner: Account, stranger: Account
) -> None:
    ids = await something_of_everything(stranger)
    document = (await api.http.get("/openapi.json")).json()
    wrong, tried = [], 0
    for operation in operations(document):
        if operation.method != "GET" or operation.places or not _may("owner", operation):
            continue
        for name in ids_in_query(operation):
            values = (meant(ids, name) or ids["deal_id"], UNKNOWN)
            answers = [await owner.get(operation.path, params={name: value}) for value in values]
            shown = [{**one.json(), "correlation_id": None} for one in answers]
            tried += 1
            if answers[0].status_code != answers[1].status_code or shown[0] != shown[1] or CANARY in answers[0].text:
                wrong.append((operation.name, name, answers[0].text[:200]))
    assert wrong == []
    assert tried >= 25


async def test_t3_nothing_of_a_tenant_shows_in_anothers_lists(api: Api, owner: Account, stranger: Account) -> None:
    await something_of_everything(stranger)
    document = (await api.http.get("/openapi.json")).json()
    paths = [one.path for one in operations(document) if one.method == "GET" and not one.places]
    assert len(paths) >= 40
    narrowed = {"filter": '[["name", "contains", "canary"]]', "sort": "-name"}
    asked: list[tuple[str, dict[str, str]]] = [(path, {}) for path in paths]
    asked += [("/v1/contacts", narrowed), ("/v1/companies", narrowed), ("/v1/search", {"q": CANARY})]
    asked += [(f"/v1/recycle-bin?kind={kind}", {}) for kind in ("deal", "contact", "company", "task")]
    asked += [(f"/v1/exports/{one}", {}) for one in Exportable]
    for path, parameters in asked:
        answer = await owner.get(path, params=parameters or None)
        assert answer.status_code < 500 or answer.json()["code"] == "warehouse_not_ready", path
        assert CANARY not in answer.text, path
        assert str(stranger.organization_id) not in answer.text, path


async def test_t4_pooled_connections_carry_nothing_over(database: Database) -> None:
    api = await start_api(database, pool_size=2)
    accounts = [await api.sign_up(), await api.sign_up()]

    async def one(number: int) -> None:
        account = accounts[number % 2]
        kind = number % 5
        if kind == 0:
            task = asyncio.create_task(account.get("/v1/users"))
            await asyncio.sleep(0.001 * (number % 7))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif kind == 1:
            assert (await account.post("/v1/teams", json={"parent_team_id": 1})).status_code == 422
        else:
            users = (await account.read("/v1/users"))["items"]
            assert [UUID(user["id"]) for user in users] == [account.user_id]

    for start in range(0, 200, 20):
        await asyncio.gather(*(one(number) for number in range(start, start + 20)))
    async with api.app.state.services.database.unit(None) as unit:
        [row], users = await unit.fetch_all(_WHO.bind(), _USERS.bind())
        assert (row.current_user, users) == ("sluice_app", [])
    await api.close()


async def test_t5_a_forgotten_filter_shows_only_ones_own_rows(
    owner: Account, stranger: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in (owner, stranger):
        await account.made("/v1/teams", json={"name": f"Team of {account.organization_id}"})
    forgetful = Listing(select(*columns_of(rules.Team, Team)), filters={}, order=(Team.id,))
    monkeypatch.setattr(records, "TEAMS", forgetful)
    [team] = (await owner.read("/v1/teams"))["items"]
    assert team["name"] == f"Team of {owner.organization_id}"


async def test_t6_an_address_or_key_of_another_tenant_is_as_good_as_new(owner: Account, stranger: Account) -> None:
    rep = await stranger.add_user(role=Role.REP)
    body = {"email": rep.email, "name": "Kim", "password": "quite another phrase", "role": "rep"}
    key = {"Idempotency-Key": "shared by chance"}
    first = await stranger.post("/v1/teams", json={"name": "Theirs"}, headers=key)
    second = await owner.post("/v1/teams", json={"name": "Ours"}, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["name"] == "Ours"
    assert (await owner.post("/v1/users", json=body)).status_code == 201
    assert (await rep.get("/v1/me")).status_code == 200


#: How often each of a pair is asked, in which order is drawn; and by which part their times may differ. A tenth is what
#: is promised of a machine of one's own: on a busy one some look of several has to stay below a quarter.
_PAIRS, _LOOKS, _MOST = 20, 5, 0.25


async def test_t6_what_another_tenant_has_takes_neither_other_statements_nor_another_time(
    owner: Account, stranger: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whoever asks, what is another's is what nobody has: the same answer, of the same statements, as quickly."""
    theirs = await stranger.made("/v1/companies", json={"name": "Theirs", "external_id": "theirs"})
    contact = await stranger.made("/v1/contacts", json={"name": "Theirs", "email": "theirs@acme.example"})
    hook = await stranger.made("/v1/webhooks", json={"url": "https://hooks.example/theirs", "event_types": []})
    await stranger.made("/v1/companies", json={"name": "By key"}, headers={"Idempotency-Key": "theirs"})
    sent = _note_statements(monkeypatch)
    numbers = count()

    async def new(external_id: str) -> httpx.Response:
        return await owner.post("/v1/companies", json={"name": "Ours", "external_id": external_id})

    async def keyed(key: str) -> httpx.Response:
        return await owner.post("/v1/companies", json={"name": "Ours"}, headers={"Idempotency-Key": key})

    async def addressed(email: str) -> httpx.Response:
        return await owner.post("/v1/contacts", json={"name": "Ours", "email": email})

    async def beside(email: str) -> httpx.Response:
        return await owner.post("/v1/users", json={"email": email, "name": "Kim", "password": "a phrase of ours"})

    for ask, known, fresh in (
        (new, "theirs", "nobodys"),
        (keyed, "theirs", "nobodys"),
        (addressed, "theirs@acme.example", "nobodys@acme.example"),
        (beside, stranger.email, "nobodys@fresh.example"),
    ):
        await ask(f"{next(numbers)}-{fresh}")  # what is asked once in a while is asked now
        assert await _told(sent, ask(known)) == await _told(sent, ask(fresh)), ask.__name__
    pairs = {
        "/v1/companies/{}": theirs["id"],
        "/v1/contacts/{}": contact["id"],
        "/v1/webhooks/{}": hook["id"],
    }
    for path, id_ in pairs.items():
        await owner.get(path.format(UNKNOWN))
        at_once = await _told(sent, owner.get(path.format(id_))), await _told(sent, owner.get(path.format(UNKNOWN)))
        assert at_once[0] == at_once[1], path
        assert at_once[0][0] == 404
    draw, looks = Random(6), list[float]()
    while len(looks) < _LOOKS and (not looks or looks[-1] >= _MOST):
        known, fresh = f"/v1/companies/{theirs['id']}", f"/v1/companies/{UNKNOWN}"
        looks.append(await _difference(owner, known, fresh, draw))
    assert looks[-1] < _MOST, looks


def _note_statements(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The statements that the API sends from now on."""
    sent: list[bytes] = []
    send = Connection.send

    async def noting(self: Connection, statements: Sequence[Bound], **options: Any) -> list[list[Row]]:
        sent.extend(one.statement.sql for one in statements)
        return await send(self, statements, **options)

    monkeypatch.setattr(Connection, "send", noting)
    return sent


async def _told(sent: list[bytes], asking: Awaitable[httpx.Response]) -> tuple[int, list[bytes]]:
    """What an answer tells: its status, and what it took."""
    sent.clear()
    answer = await asking
    return answer.status_code, list(sent)


async def _difference(owner: Account, one: str, other: str, draw: Random) -> float:
    """The median difference of the times of two requests, asked by turns, as a part of what one takes."""
    took: list[tuple[float, float]] = []
    for _ in range(_PAIRS):
        paths = draw.sample([one, other], 2)
        seconds = {}
        for path in paths:
            began = perf_counter()
            await owner.get(path)
            seconds[path] = perf_counter() - began
        took.append((seconds[one], seconds[other]))
    return abs(median(a - b for a, b in took)) / median(b for _, b in took)
