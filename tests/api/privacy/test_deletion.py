"""T-8: an organization goes when its owner says so, and nothing of it stays; nobody else notices."""

import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from api.edge.mail import Mailer
from api.kernel.database import Database as Connections
from api.privacy import forgetting
from api.privacy.forgetting import forget_due, tell_owners
from contracts.access import Role
from contracts.calls import privacy, teams
from contracts.settings import BillingSettings
from runtime.access_command import deletions_command
from tests.api.privacy.planting import dump_of, plant, traces_in
from tests.conftest import Database
from tests.factories import PASSWORD, Account, start_api
from tests.imports.conftest import Importer
from tests.mailbox import Mailbox, smtp_server

_ASK: dict[str, Any] = {"name": "Acme", "current_password": PASSWORD}


def path_of(account: Account) -> str:
    return f"/v1/organizations/{account.organization_id}/deletion"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as running:
        yield running


@pytest_asyncio.fixture
async def leaving(api_database: Database, mailbox: Mailbox, tmp_path: Path) -> AsyncIterator[Account]:
    api = await start_api(api_database, mail=mailbox.settings, files_path=tmp_path / "files")
    yield await api.sign_up()
    await api.close()


@pytest_asyncio.fixture
async def connections(api_database: Database) -> AsyncIterator[Connections]:
    connected = Connections(api_database.worker_url, pool_size=4)
    yield connected
    await connected.close()


async def test_an_owner_asks_with_password_and_name_and_may_take_it_back(leaving: Account, mailbox: Mailbox) -> None:
    path = path_of(leaving)
    admin, rep = await leaving.add_user(role=Role.ADMIN), await leaving.add_user(role=Role.REP)
    for body, code in (
        ({**_ASK, "name": "acme"}, "name_differs"),
        ({**_ASK, "current_password": "another phrase of mine"}, "wrong_password"),
    ):
        answer = await leaving.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await admin.post(path, json=_ASK)).status_code == 403
    assert (await rep.get(path)).status_code == 404
    asked = await leaving.post(path, json=_ASK)
    assert asked.status_code == 202, asked.text
    days = datetime.fromisoformat(asked.json()["due_at"]) - datetime.now(UTC)
    assert timedelta(days=13, hours=23) < days <= timedelta(days=14)
    assert (await rep.read(path)) == asked.json()  # everybody knows
    assert (await leaving.post(path, json=_ASK)).json()["code"] == "deletion_asked_before"
    assert (await admin.delete(path, version=1)).status_code == 403
    assert (await leaving.delete(path, version=1)).status_code == 204
    assert (await leaving.delete(path, version=1)).status_code == 404
    await leaving.api.app.state.services.post.close()
    subjects = [mail["Subject"] for mail in mailbox.mails if mail["To"] == leaving.email]
    assert subjects == ["Acme will be deleted", "Acme will not be deleted"]
    noted = (await leaving.read("/v1/audit", params={"limit": 100}))["items"]
    actions = {entry["action"] for entry in noted}
    assert {"organization.deletion_asked", "organization.deletion_cancelled"} <= actions


async def test_whoever_has_a_second_factor_shows_it(leaving: Account, api_database: Database) -> None:
    await leaving.made("/v1/me/second-factor")
    with psycopg.connect(api_database.admin_url) as admin:
        admin.execute("update second_factors set confirmed_at = now()")
    for code in ({}, {"code": "000000"}):
        answer = await leaving.post(path_of(leaving), json={**_ASK, **code})
        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_code")


async def test_t8_nothing_stays_of_an_organization_that_was_deleted(
    importer: Importer,
    api_database: Database,
    connections: Connections,
    stranger: Account,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owner = importer.account
    await plant(importer)
    member = {"email": stranger.email, "name": "Kim", "password": PASSWORD, "role": Role.REP}
    await owner.made("/v1/users", json=member)  # a member elsewhere, too
    team = await owner.ask(teams.create_team({"name": "Above"}))
    await owner.ask(teams.create_team({"name": "Below", "parent_team_id": team["id"]}))
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    stop, files_path, billing = threading.Event(), importer.files_path, BillingSettings()
    await owner.ask(privacy.ask_for_deletion(owner.organization_id, {"name": "Acme", "current_password": PASSWORD}))
    with psycopg.connect(api_database.admin_url, autocommit=True) as admin:
        await forget_due(connections, files_path, billing, stop)
        assert (await owner.get("/v1/me")).status_code == 200, "not before it is due"
        others = _rows_of(admin, stranger.organization_id)
        admin.execute("update organization_deletions set due_at = now() where organization_id = %s", [_id(owner)])
        await _die_after(7, connections, files_path)
        assert (await owner.get("/v1/me")).status_code == 401, "nobody gets in from its beginning"
        await forget_due(connections, files_path, billing, stop)
        assert _rows_of(admin, owner.organization_id).keys() == {
            "event_log",
            "organizations",
            "organization_deletions",
        }, "what is not published waits"
        admin.execute("update outbox set published_at = now()")
        await forget_due(connections, files_path, billing, stop)
        assert _rows_of(admin, owner.organization_id) == {"organization_deletions": 1}
        assert _rows_of(admin, stranger.organization_id) == others
        people = admin.execute("select count(*) from people where email in (%s, %s)", [owner.email, stranger.email])
        assert people.fetchone() == (1,), "whoever is a member elsewhere stays"
        await tell_owners(connections, Mailer(mailbox.settings))
        kept = admin.execute(
            "select removed, owners, people, finished_at is not null from organization_deletions"
            " where organization_id = %s",
            [_id(owner)],
        ).fetchone()
    assert kept is not None
    assert kept[1:] == ([], [], True)
    assert kept[0]["contacts"] >= 2
    assert {"audit_log", "event_log", "organizations", "users", "messages"} <= kept[0].keys()
    monkeypatch.setenv("SLUICE_DATABASE_RELAY_URL", api_database.relay_url)
    deletions_command()
    assert f"{owner.organization_id}: asked" in (told := capsys.readouterr().out)
    assert f"{sum(kept[0].values()):,} rows, the warehouse follows" in told
    [receipt] = [mail for mail in mailbox.mails if mail["To"] == owner.email]
    assert "contacts: " in receipt.get_content()
    assert traces_in(dump_of(api_database)) == []
    assert owner.email not in dump_of(api_database)
    assert [path for path in files_path.rglob("*") if path.is_file()] == []
    again = await owner.api.http.post("/v1/auth/login", json={"email": owner.email, "password": PASSWORD})
    assert again.status_code == 401
    assert (await stranger.get("/v1/me")).status_code == 200


async def _die_after(batches: int, connections: Connections, files_path: Path) -> None:
    """Run until so many batches are done, and then as a killed worker does: not at all."""
    stop, left = threading.Event(), iter(range(batches))

    class Counting:
        def is_set(self) -> bool:
            if next(left, None) is None:
                stop.set()
            return stop.is_set()

    await forget_due(connections, files_path, BillingSettings(), Counting())  # type: ignore[arg-type]


def _id(account: Account) -> UUID:
    return account.organization_id


def _rows_of(admin: psycopg.Connection, organization_id: UUID) -> dict[str, int]:
    """How many rows each table has of an organization; those with any."""
    tables = admin.execute(
        "select distinct c.relname from pg_class as c join pg_attribute as a on a.attrelid = c.oid"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'organization_id'"
    ).fetchall()
    found = {}
    for (name,) in tables:
        query = sql.SQL("select count(*) from {} where organization_id = %s").format(sql.Identifier(name))
        row = admin.execute(query, [organization_id]).fetchone()
        if row and row[0]:
            found[name] = row[0]
    return found


async def test_nobody_forgets_an_organization_whose_deletion_has_not_begun(
    api_database: Database, owner: Account
) -> None:
    with psycopg.connect(api_database.worker_url) as worker, pytest.raises(psycopg.errors.RaiseException):
        worker.execute("select forget_rows(%s, 'contacts', 10)", [_id(owner)])
    with psycopg.connect(api_database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("select forget_rows(%s, 'contacts', 10)", [_id(owner)])
