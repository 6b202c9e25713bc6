"""What operators do about who gets in, on a deployment that the environment names."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pyotp
import pytest
from typer.testing import CliRunner, Result

from runtime.access_command import SEALED
from runtime.cli import app
from runtime.home import Home
from tests.conftest import Database
from tests.factories import PASSWORD, SECRET_KEY, Account, start_api

_NEW = "quite another phrase"
_NEW_KEY = "another key, to which the installation goes over"
#: What is no secret to be read again: digests, the chain of the audit log, answers and deliveries as they came.
_NOT_SEALED = {
    ("api_keys", "digest"),
    ("audit_log", "hash"),
    ("audit_log", "previous"),
    ("idempotency_keys", "body"),
    ("idempotency_keys", "fingerprint"),
    ("stripe_events", "body"),
    ("x_deliveries", "digest"),
}


@pytest.fixture
def sluice(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a verb on the deployment whose database this is, with other settings if so wanted."""

    def run(*arguments: str, **settings: str) -> Result:
        named = {"SLUICE_DATABASE_URL": database.app_url, "SLUICE_SECRET_KEY": SECRET_KEY} | settings
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, arguments)

    return run


async def _signed_up(database: Database) -> Account:
    api = await start_api(database)
    owner = await api.sign_up()
    await api.close()
    return owner


async def _follow(database: Database, owner: Account, token: str) -> tuple[int, int]:
    api = await start_api(database)
    done = await api.http.post("/v1/auth/password", json={"token": token, "password": _NEW})
    old = await api.http.post("/v1/auth/login", json={"email": owner.email, "password": PASSWORD})
    await api.sign_in(owner.email, _NEW)
    await api.close()
    return done.status_code, old.status_code


def test_a19_the_chain_is_verified_and_a_change_makes_it_fail(
    database: Database, sluice: Callable[..., Result]
) -> None:
    asyncio.run(_signed_up(database))
    whole = sluice("audit", "verify")
    assert (whole.exit_code, "whole; head" in whole.stdout) == (0, True), whole.stderr
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("update audit_log set actor = 'nobody' where position = 1")
    broken = sluice("audit", "verify")
    assert (broken.exit_code, "BROKEN at entry 1" in broken.stdout) == (1, True), broken.stderr


def test_without_mail_the_operator_hands_out_the_link(database: Database, sluice: Callable[..., Result]) -> None:
    owner = asyncio.run(_signed_up(database))
    shown = sluice("link", owner.email.upper())
    assert (shown.exit_code, shown.stdout.startswith("Acme: ")) == (0, True), shown.stderr
    token = shown.stdout.strip().partition("token=")[2]
    assert asyncio.run(_follow(database, owner, token)) == (204, 401)
    assert sluice("link", "nobody@example.com").exit_code == 1


async def _with_secrets(database: Database) -> tuple[Account, pyotp.TOTP, str]:
    """A person with one-time codes, whose organization has a webhook and an account with a password."""
    api = await start_api(database)
    owner = await api.sign_up()
    seed = await owner.made("/v1/me/second-factor")
    totp = pyotp.TOTP(seed["seed"])
    await owner.made("/v1/me/second-factor/confirm", json={"code": totp.now()})
    await owner.made("/v1/webhooks", json={"url": "https://example.com/hook", "event_types": ["deal.created"]})
    account = {"channel": "email", "name": "Sales", "address": "sales@example.com"}
    made = await owner.made("/v1/bd-accounts", json=account)
    await owner.made(f"/v1/bd-accounts/{made['id']}/secret", json={"values": {"password": "canary"}})
    await api.close()
    return owner, totp, made["id"]


async def _opened(database: Database, owner: Account, totp: pyotp.TOTP, account_id: str) -> str:
    """The account's password, as its connector is told by an API that has the new key alone."""
    api = await start_api(database, secret_key=_NEW_KEY)
    again = await api.sign_in(owner.email, code=totp.at(int(time.time()), counter_offset=1))
    held = await again.made(f"/v1/bd-accounts/{account_id}/lease", json={"holder": "a connector"})
    told = await again.made(f"/v1/bd-accounts/{account_id}/connection", json={"epoch": held["epoch"]})
    await api.close()
    password: str = told["secret"]["password"]
    return password


def test_a13_after_sealing_anew_the_key_before_is_not_needed(database: Database, sluice: Callable[..., Result]) -> None:
    owner, totp, account_id = asyncio.run(_with_secrets(database))
    lost = sluice("secret-key", "reseal", SLUICE_SECRET_KEY=_NEW_KEY)
    assert (lost.exit_code, lost.stdout) == (1, "0 sealed anew, 0 had the newest key.\n"), lost.stderr
    assert {line.split()[3] for line in lost.stderr.splitlines()} == {place.table for place in SEALED}
    both = {"SLUICE_SECRET_KEY": _NEW_KEY, "SLUICE_SECRET_KEYS_BEFORE": SECRET_KEY}
    for told in ("3 sealed anew, 0 had the newest key.\n", "0 sealed anew, 3 had the newest key.\n"):
        done = sluice("secret-key", "reseal", **both)
        assert (done.exit_code, done.stdout) == (0, told), done.stderr
    assert asyncio.run(_opened(database, owner, totp, account_id)) == "canary"


def test_a13_whatever_is_sealed_is_among_what_is_sealed_anew(database: Database) -> None:
    with psycopg.connect(database.admin_url) as admin:
        found = admin.execute(
            "select table_name, column_name from information_schema.columns"
            " where table_schema = 'public' and data_type = 'bytea'"
        ).fetchall()
    assert set(found) - _NOT_SEALED == {(place.table, column) for place in SEALED for column in place.columns}


def test_a_home_is_given_another_key_and_keeps_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    home = Home.locate()
    home.prepare()
    first = home.secrets()
    for _ in range(2):
        assert CliRunner().invoke(app, ["secret-key", "rotate"]).exit_code == 0
    last = home.secrets()
    before = last.secret_keys_before.split(",")
    assert (before[1], len({first.secret_key, last.secret_key, before[0]})) == (first.secret_key, 3)
    assert (last.app, home.secrets_file.stat().st_mode & 0o777) == (first.app, 0o600)
