"""The job worker as a process: does the work that a request only asked for. Imports are its only kind so far."""

import asyncio
import threading

from api.edge.logs import log_as_json
from api.imports.worker import work
from api.kernel.database import Database
from contracts.settings import FileSettings, WorkerDatabaseSettings

_STATEMENT_TIMEOUT_MS = 120_000


def run(stop: threading.Event) -> None:
    """Work until `stop` is set; a running transaction is finished first, the rest is taken up by the next worker."""
    log_as_json()
    asyncio.run(_work(FileSettings(), WorkerDatabaseSettings(), stop))


async def _work(settings: FileSettings, worker: WorkerDatabaseSettings, stop: threading.Event) -> None:
    url = worker.database_worker_url.get_secret_value()
    database = Database(url, pool_size=2, statement_timeout_ms=_STATEMENT_TIMEOUT_MS)
    try:
        await work(database, files_path=settings.files_path, stop=stop)
    finally:
        await database.close()
