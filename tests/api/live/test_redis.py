"""Live updates where API processes hear of what is new from Redis, as behind a pooler that cannot listen."""

import asyncio
from contextlib import suppress

import psycopg
import pytest
from pydantic import SecretStr

from api.kernel.hints import pass_on
from api.live import channels
from api.main import create_app
from contracts.settings import DatabaseSettings
from tests.api.live.conftest import Live, numbering, served
from tests.conftest import Database
from tests.factories import Account, api_settings

_LISTENING = """
select usename from pg_stat_activity where application_name = 'sluice-hints' and datname = current_database()
"""


async def test_a12_what_happens_is_told_by_redis_where_no_api_process_listens_to_postgresql(
    api_database: Database, redis_url: str, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_LOOK_SECONDS", 3_600.0)  # nobody looks unless told to
    settings = api_settings(redis_url=SecretStr(redis_url))
    apps = [create_app(settings, DatabaseSettings(database_url=SecretStr(api_database.app_url))) for _ in range(2)]
    passing = asyncio.create_task(pass_on(api_database.worker_url, redis_url))
    async with numbering(api_database), served(apps[0]) as first, served(apps[1]) as second:
        live = Live([first, second])
        async with live.listen(owner) as here, live.listen(owner, server=1) as there:
            for name in ("Ada", "Grace"):
                made = (await owner.made("/v1/contacts", json={"name": name}))["id"]
                for client in (here, there):
                    await client.until_hears_of(made)
            with psycopg.connect(api_database.admin_url) as admin:
                listening = {row[0] for row in admin.execute(_LISTENING).fetchall()}
            assert listening == {"sluice_worker"}
    passing.cancel()
    with suppress(asyncio.CancelledError):
        await passing
    for app in apps:
        await app.state.services.limiter.close()
        await app.state.services.database.close()
