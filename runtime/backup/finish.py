"""The last step of restoring a PostgreSQL of one's own, by whatever means: Kafka and the warehouse follow it back."""

from collections.abc import Callable
from contextlib import closing

import psycopg

from bus.records import TransportError
from contracts.settings import KafkaSettings, WarehouseSettings
from ingest.epoch import EpochTopic, begin_restored_epoch, note_repaired
from ingest.event_log import RewriteUnderWayError
from ingest.rebuild import rebuild
from ingest.reconcile import reconcile
from ingest.sinks.interface import SinkUnavailableError
from runtime.backup.programs import BackupError

_OTHERS = """
select count(*) from pg_stat_activity
where usename = current_user and datname = current_database() and pid <> pg_backend_pid()
"""


def finish_restore(
    relay_url: str,
    kafka: KafkaSettings,
    warehouse: WarehouseSettings,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> None:
    """Begin an epoch in which the broker's former events do not count, and make the warehouse anew. May be repeated.

    Raises:
        BackupError: relay or loader run, or broker or warehouse cannot be reached.
        psycopg.Error: PostgreSQL cannot be reached.
    """
    with psycopg.connect(relay_url, autocommit=True) as connection:
        row = connection.execute(_OTHERS).fetchone()
        if row and row[0]:
            raise BackupError(f"Stop relay, loader, refresh and Dagster first: {row[0]} of their connections are open.")
        epoch = begin_restored_epoch(connection)
        say("a new epoch begins: the broker's former events do not count")
        try:
            with closing(EpochTopic.connect(kafka)) as topic:
                topic.write(epoch)
        except TransportError as error:
            raise BackupError(f"The broker cannot be told: {error}. Run this again when it is there.") from error
        try:
            rebuild(relay_url, warehouse, progress=progress)
            report = reconcile(relay_url, warehouse)
        except (SinkUnavailableError, RewriteUnderWayError) as error:
            raise BackupError(f"The warehouse was not made anew: {error}. Run this again.") from error
        say(str(report))
        if not report.is_clean:
            raise BackupError("The warehouse still differs. Is a loader running?")
        note_repaired(connection)
