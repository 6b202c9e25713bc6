"""Entry of every long-running process: turns SIGTERM and Ctrl-C into a clean stop of the room's own `run`.

The rooms are imported by name when their process starts: a relay that imported Dagster would weigh 200 MB more.
"""

import gc
import importlib
import signal
import sys
import threading
from types import FrameType

from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError

from runtime.allocators import give_memory_back
from runtime.priority import give_way

#: Verb -> module whose `run(stop: threading.Event)` is the process.
PROCESSES: dict[str, str] = {
    "api": "api.serve",
    "worker": "api.worker",
    "relay": "ingest.relay",
    "loader": "ingest.loader",
    "archive": "runtime.backup.archive",
    "refresh": "orchestration.refresh",
    "dagster": "orchestration.serve",
    "dashboards": "dashboards.serve",
}

#: Nobody waits for these: they take the processors that the others leave.
BACKGROUND = frozenset({"refresh", "dagster"})


def serve(name: str) -> int:
    """Run one process until it is told to stop. Returns its exit code."""
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    give_memory_back()
    if name in BACKGROUND:
        give_way()
    try:
        room = importlib.import_module(PROCESSES[name])
        # what is imported stays. Python's collector would look through all of it again and again (in the API a tenth of
        # a second each time), and therefore wait until a quarter as much has become garbage
        gc.freeze()
        room.run(stop)
    except ValidationError as error:
        missing = ", ".join(f"SLUICE_{str(item['loc'][0]).upper()} ({item['msg']})" for item in error.errors())
        print(f"{name}: settings are missing or wrong: {missing}. See .env.example.", file=sys.stderr)
        return 2
    except SettingsError as error:
        print(f"{name}: settings cannot be read: {error}. See .env.example.", file=sys.stderr)
        return 2
    finally:
        gc.unfreeze()  # so that modules are torn down as they expect to be
    return 0


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]))
