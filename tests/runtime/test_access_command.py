"""What operators do about who gets in, on a deployment that the environment names."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psycopg

from runtime.home import PROJECT
from tests.conftest import Database
from tests.factories import PASSWORD, SECRET_KEY, Account, start_api

_NEW = "quite another phrase"


def _sluice(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).with_name("sluice")), *arguments]
    environment = os.environ | {"SLUICE_DATABASE_URL": database.app_url, "SLUICE_SECRET_KEY": SECRET_KEY}
    return subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


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


def test_a19_the_chain_is_verified_and_a_change_makes_it_fail(database: Database) -> None:
    asyncio.run(_signed_up(database))
    whole = _sluice(database, "audit", "verify")
    assert (whole.returncode, "whole; head" in whole.stdout) == (0, True), whole.stderr
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("update audit_log set actor = 'nobody' where position = 1")
    broken = _sluice(database, "audit", "verify")
    assert (broken.returncode, "BROKEN at entry 1" in broken.stdout) == (1, True), broken.stderr


def test_without_mail_the_operator_hands_out_the_link(database: Database) -> None:
    owner = asyncio.run(_signed_up(database))
    shown = _sluice(database, "link", owner.email.upper())
    assert (shown.returncode, shown.stdout.startswith("Acme: ")) == (0, True), shown.stderr
    token = shown.stdout.strip().partition("token=")[2]
    assert asyncio.run(_follow(database, owner, token)) == (204, 401)
    assert _sluice(database, "link", "nobody@example.com").returncode == 1
