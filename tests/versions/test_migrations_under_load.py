"""F-5: the schema changes while the version before is in use, up and down, and nobody notices."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.db.migrate import downgrade, upgrade
from runtime.process import free_port
from tests.conftest import Database
from tests.imports.processes import process_environment, start_api_process
from tests.versions.conftest import OlderTree
from tests.versions.traffic import LockWatch, Traffic

_LONGEST_LOCK_SECONDS = 1.0

# rows as the API leaves them, without the cost of the API; foreign keys are not looked up again
_FILL = """
set session_replication_role = replica;
with new as (
    select gen_random_uuid() as id, now() - n * interval '1 second' as at from generate_series(1, %(rows)s) as n
), deals as (
    insert into deals (organization_id, id, version, created_at, pipeline_id, stage_id, stage_entered_at, status, title,
                       amount_minor, currency, last_occurred_at)
    select %(organization)s, id, 1, at, %(pipeline)s, %(stage)s, at, 'open', 'Deal', 100, 'USD', at from new
)
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
                       occurred_at, recorded_at, actor, correlation_id, data)
select gen_random_uuid(), %(organization)s, 'deal.created', 1, 'deal', id, 1, at, at, 'system', id, '{}' from new
"""


@pytest.fixture
def older_api(older_database: Database, version_before: OlderTree, tmp_path: Path) -> Iterator[str]:
    """URL of the version before, serving."""
    port = free_port()
    environment = process_environment(older_database, tmp_path, port=port)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz").is_success
        except httpx.TransportError:
            return False

    process = version_before.process("api", environment, tmp_path, ready=ready)
    process.start()
    process.wait_ready()
    yield url
    process.stop()


def _sign_up(url: str) -> tuple[str, dict[str, Any]]:
    """A token, and the pipeline of its organization."""
    body = {
        "email": "rep@example.org",
        "password": "a-long-test-password",
        "name": "Rep",
        "organization_name": "Acme",
        "time_zone": "UTC",
        "currency": "USD",
    }
    token = httpx.post(f"{url}/v1/auth/signup", json=body, timeout=60).raise_for_status().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    pipeline: dict[str, Any] = httpx.get(f"{url}/v1/pipelines", headers=headers).raise_for_status().json()["items"][0]
    return token, pipeline


def _fill(database: Database, pipeline: dict[str, Any], rows: int) -> None:
    with psycopg.connect(database.admin_url) as admin, psycopg.ClientCursor(admin) as cursor:
        [(organization,)] = admin.execute("select organization_id from organizations")
        stage = pipeline["stages"][0]["id"]
        values = {"rows": rows, "organization": organization, "pipeline": pipeline["id"], "stage": stage}
        cursor.execute(_FILL, values)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("analyze")


def _each_sees_what_the_others_write(urls: list[str], token: str, pipeline: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    for writer in urls:
        body = {"pipeline_id": pipeline["id"], "title": "Both", "amount_minor": 5}
        made = httpx.post(f"{writer}/v1/deals", json=body, headers=headers, timeout=60).raise_for_status().json()
        for reader in urls:
            path = f"{reader}/v1/deals/{made['id']}"
            seen = httpx.get(path, headers=headers, timeout=60).raise_for_status().json()
            # one of them may have fields more, which the other's clients do not know and pass over
            both = made.keys() & seen.keys()
            assert both in (made.keys(), seen.keys())
            assert {field: seen[field] for field in both} == {field: made[field] for field in both}
            history = httpx.get(f"{path}/history", headers=headers, timeout=60).raise_for_status().json()
            assert len(history["items"]) == 1


def _created(database: Database) -> int:
    query = "select count(*) from event_log where type = 'deal.created' and actor <> 'system'"
    with psycopg.connect(database.admin_url) as connection:
        return int(connection.execute(query).fetchall()[0][0])


@pytest.mark.parametrize(
    ("rows", "rate", "at_once"), [(20_000, 20.0, 3), pytest.param(1_000_000, 50.0, 8, marks=pytest.mark.slow)]
)
def test_f5_g12_every_migration_runs_up_and_down_while_the_version_before_is_in_use(
    older_database: Database,
    older_api: str,
    version_before: OlderTree,
    tmp_path: Path,
    rows: int,
    rate: float,
    at_once: int,
) -> None:
    token, pipeline = _sign_up(older_api)
    _fill(older_database, pipeline, rows)
    before, written = version_before.revisions[-1], _created(older_database)
    traffic = Traffic(older_api, token, pipeline, rate=rate, at_once=at_once)
    watch = LockWatch(older_database.admin_url)

    def under_load(change: Callable[[], None]) -> None:
        with traffic.running(), watch.running():
            traffic.wait_for(60)
            change()
            traffic.wait_for(60)

    under_load(lambda: upgrade(older_database.owner_url))
    newer, newer_api = start_api_process(older_database, tmp_path)
    try:
        _each_sees_what_the_others_write([older_api, newer_api], token, pipeline)
    finally:
        newer.stop()
    under_load(lambda: downgrade(older_database.owner_url, before))
    _each_sees_what_the_others_write([older_api], token, pipeline)

    assert traffic.failures == []
    assert _created(older_database) == written + len(traffic.created) + 3
    assert max([watch.longest_wait, *watch.held.values()]) < _LONGEST_LOCK_SECONDS, watch
