"""Lets raw forget organizations that PostgreSQL has deleted.

An event may still be on its way when its organization goes: so an organization counts as forgotten when raw has nothing
of it an hour after its end, by which time a loader that works has loaded what there was. The marts follow, as after any
rewrite of raw: the next refresh builds them anew.
"""

from contextlib import closing
from uuid import UUID

import psycopg

from contracts.settings import WarehouseSettings
from ingest.event_log import sole_rewriter
from ingest.sinks import open_sink

_TO_FORGET = """
select organization_id from organization_deletions where finished_at is not null and warehouse_forgot_at is null
"""
_FORGOT = """
update organization_deletions set warehouse_forgot_at = clock_timestamp()
where organization_id = any(%s) and finished_at < clock_timestamp() - interval '1 hour' and warehouse_forgot_at is null
"""


def find_deleted(relay_database_url: str) -> list[UUID]:
    """Organizations that are deleted and that the warehouse may still have something of.

    Raises:
        psycopg.Error: PostgreSQL cannot be read.
    """
    with psycopg.connect(relay_database_url, autocommit=True, connect_timeout=5) as connection:
        return [organization_id for (organization_id,) in connection.execute(_TO_FORGET)]


def forget_deleted(relay_database_url: str, warehouse: WarehouseSettings) -> int:
    """Remove what raw has of deleted organizations; how many events that were.

    Raises:
        psycopg.Error: PostgreSQL cannot be read.
        RewriteUnderWayError: a rebuild or a comparison is at work.
        SinkUnavailableError: the warehouse cannot be written.
    """
    deleted = find_deleted(relay_database_url)
    if not deleted:
        return 0
    with sole_rewriter(relay_database_url), closing(open_sink(warehouse)) as sink:
        removed = sink.forget(deleted)
    if not removed:
        with psycopg.connect(relay_database_url, autocommit=True) as connection:
            connection.execute(_FORGOT, (deleted,))
    return removed
