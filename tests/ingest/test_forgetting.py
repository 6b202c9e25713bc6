"""T-8: raw forgets an organization that PostgreSQL has deleted, on both warehouses, and nothing else."""

from contextlib import closing

import psycopg

from contracts.settings import WarehouseSettings
from ingest.forgetting import find_deleted, forget_deleted
from ingest.rebuild import rebuild
from ingest.reconcile import reconcile
from ingest.sinks import open_sink
from tests.conftest import Database
from tests.ingest.test_reconcile import content, delivered, warehouse

__all__ = ["delivered", "warehouse"]

_DELETED = """
insert into organization_deletions (organization_id, asked_by, due_at, began_at, finished_at)
select organization_id, organization_id, now(), now(), now() from event_log limit 1 returning organization_id
"""


def test_t8_raw_forgets_what_was_deleted(delivered: Database, warehouse: WarehouseSettings) -> None:
    rebuild(delivered.relay_url, warehouse)
    with psycopg.connect(delivered.admin_url, autocommit=True) as admin:
        assert forget_deleted(delivered.relay_url, warehouse) == 0
        [(organization_id,)] = admin.execute(_DELETED).fetchall()
        before = content(warehouse)
        gone = sum(group.count for key, group in before.items() if key.organization_id == organization_id)
        admin.execute("delete from event_log where organization_id = %s", (organization_id,))
        with closing(open_sink(warehouse)) as sink:
            generation = sink.generation()
        assert gone > 0
        assert forget_deleted(delivered.relay_url, warehouse) == gone
        assert content(warehouse) == {key: one for key, one in before.items() if key.organization_id != organization_id}
        with closing(open_sink(warehouse)) as sink:
            assert sink.generation() > generation, "the marts are built anew"
        assert reconcile(delivered.relay_url, warehouse).is_clean
        assert forget_deleted(delivered.relay_url, warehouse) == 0
        assert find_deleted(delivered.relay_url) == [organization_id], "what is still on its way may yet come"
        admin.execute("update organization_deletions set finished_at = now() - interval '61 minutes'")
        assert forget_deleted(delivered.relay_url, warehouse) == 0
        assert find_deleted(delivered.relay_url) == []
