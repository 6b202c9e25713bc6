"""The job worker as a process: does the work that a request only asked for, or that time asks for.

A slice that acts by itself has a module `worker` with `async def run(database, stop)`, which works until `stop` is set
and outlives a PostgreSQL that goes away for a while. All of them share this process, or each has one of its own.
"""

import asyncio
import gc
import logging
import pkgutil
import threading
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from time import monotonic

import api
from api.edge.logs import log_as_json
from api.kernel.database import Database
from api.kernel.hints import pass_on
from contracts.settings import WorkerDatabaseSettings, WorkerSettings

_log = logging.getLogger(__name__)

Work = Callable[[Database, threading.Event], Awaitable[None]]

_STATEMENT_TIMEOUT_MS = 120_000
#: A loop that keeps a connection for its locks does its work on others, some of it at once. They are made when wanted.
_CONNECTIONS_EACH = 6
_ALIVE_SECONDS, _LOOK_SECONDS, _AGAIN_SECONDS = 5.0, 0.3, 2.0
_PASS_SECONDS = 60.0


def run(stop: threading.Event, *only: str) -> None:
    """Work until `stop` is set; a running transaction is finished first, the rest is taken up by the next worker.

    `only` names slices whose work this process does; by default it is everybody's.

    Raises:
        ValueError: a slice of `only` has no work to do.
    """
    log_as_json()
    works = find_work()
    if unknown := set(only) - set(works):
        message = f"no work is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(works))}"
        raise ValueError(message)
    gc.freeze()  # slices stay, too: the collector looked through all of them again while an import made its rows
    asyncio.run(_work([works[name] for name in only or works], stop))


def find_work() -> dict[str, Work]:
    """What each slice does by itself, by the slice's name."""
    return {
        package.name: import_module(f"api.{package.name}.worker").run
        for package in pkgutil.iter_modules(api.__path__)
        if package.ispkg and find_spec(f"api.{package.name}.worker")
    }


async def _work(works: list[Work], stop: threading.Event) -> None:
    url = WorkerDatabaseSettings().database_worker_url.get_secret_value()
    database = Database(url, pool_size=_CONNECTIONS_EACH * len(works), statement_timeout_ms=_STATEMENT_TIMEOUT_MS)
    try:
        async with asyncio.TaskGroup() as group:
            for work in [*works, _show_that_it_lives, _pass_hints_on]:
                group.create_task(_until(work, database, stop))
    finally:
        await database.close()


async def _show_that_it_lives(_database: Database, stop: threading.Event) -> None:
    """Touch the file that health checks look at, if there is one: as long as the loop turns, work is done."""
    path = WorkerSettings().worker_alive_path
    due = 0.0
    while path is not None and not stop.is_set():
        if monotonic() >= due:
            path.touch()
            due = monotonic() + _ALIVE_SECONDS
        await asyncio.sleep(_LOOK_SECONDS)


async def _pass_hints_on(database: Database, stop: threading.Event) -> None:
    """What PostgreSQL says goes to Redis, where API processes listen to that."""
    redis_url = WorkerSettings().redis_url
    if redis_url is None:
        return
    url = WorkerDatabaseSettings().database_worker_url.get_secret_value()
    passing = asyncio.create_task(pass_on(url, redis_url.get_secret_value()))
    bell = database.hints.bell("passing on")  # nobody rings
    while not stop.is_set():
        await bell.wait(_PASS_SECONDS, stop)
    passing.cancel()


async def _until(work: Work, database: Database, stop: threading.Event) -> None:
    """`work`, begun anew where it fails: what one organization stands in the way of keeps no other slice waiting."""
    while not stop.is_set():
        try:
            await work(database, stop)
        except Exception:  # noqa: BLE001 # the edge of a slice's work
            _log.exception("the work of %s failed and begins anew", work.__module__)
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return
