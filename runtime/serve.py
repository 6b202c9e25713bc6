"""Entry of every long-running process: turns SIGTERM and Ctrl-C into a clean stop of the room's own `run`.

The rooms are imported by name when their process starts: a relay that imported Dagster would weigh 200 MB more.
"""

import gc
import importlib
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType

from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError

from runtime.process import ProcessError
from runtime.processes import GROUPS, PROCESSES
from runtime.supervisor import Supervisor

logger = logging.getLogger("runtime")

_LEAST_URGENT = 19
_OURS = ("api", "bus", "dashboards", "ingest", "models_ml", "orchestration", "runtime")


def serve(name: str, *arguments: str) -> int:
    """Run one process until it is told to stop; `arguments` go to its room. Returns its exit code."""
    if PROCESSES[name].is_background:
        os.nice(_LEAST_URGENT)
    try:
        if name in GROUPS and not arguments:
            _run_group(name)
        else:
            _run_room(PROCESSES[name].room, *arguments)
    except ValidationError as error:
        print(f"{name}: settings are missing or wrong: {describe_settings(error)}. See .env.example.", file=sys.stderr)
        return 2
    except SettingsError as error:
        print(f"{name}: settings cannot be read: {error}. See .env.example.", file=sys.stderr)
        return 2
    except ProcessError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def describe_settings(error: ValidationError) -> str:
    """Which variables, and what is wrong with each; no value, as it may be a password."""
    return ", ".join(
        f"SLUICE_{str(item['loc'][0]).upper()} ({item['msg']})" if item["loc"] else item["msg"]
        for item in error.errors()
    )


def _run_room(module: str, *arguments: str) -> None:
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    _log_with_times()
    room = importlib.import_module(module)
    # what is imported stays. Python's collector would look through all of it again and again (in the API a tenth of
    # a second each time), and therefore wait until a quarter as much has become garbage
    gc.freeze()
    try:
        room.run(stop, *arguments)
    finally:
        gc.unfreeze()  # so that modules are torn down as they expect to be


def _log_with_times() -> None:
    """One line for what happens, with its instant in UTC. Of others' libraries only warnings; the API logs as JSON."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for package in _OURS:
        logging.getLogger(package).setLevel(logging.INFO)


def _run_group(name: str) -> None:
    _log_with_times()
    supervisor = Supervisor(say=logger.info)
    supervisor.install_signal_handlers()
    try:
        with GROUPS[name]() as group:
            try:
                for spec in group.specs:
                    supervisor.start(spec)
                    supervisor.wait_ready(spec.name)
                supervisor.watch()
            finally:
                supervisor.stop_all(at_once=True, seconds=group.seconds)
    except ProcessError:
        if not supervisor.is_stopping:
            raise


if __name__ == "__main__":
    sys.exit(serve(*sys.argv[1:]))
