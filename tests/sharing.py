"""How processes share the tests (`-n`), in which order, how long one may take, and how a run that is told to end takes
its servers with it.
"""

import signal
from types import FrameType

import psutil
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

#: What takes long, the longest first: it begins first, so that no process is left alone with it at the end.
_LONGEST = (
    "e2e", "faults", "orchestration", "dbt_project", "dashboards", "imports", "versions", "metrics", "backup", "schema",
    "runtime",
)  # fmt: skip

#: Folders whose tests share processes that are started, or warehouses that are built, once.
_SHARED = ("tests/e2e", "tests/kafka_cluster", "tests/faults/running", "tests/orchestration", "tests/dbt_project")

_SWEEP_SECONDS = 7200


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no type information
    """Tests of a file stay in one process (`-n 2 --dist loadfile`), and so do those that share one stack or cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in _SHARED if nodeid.startswith(f"{folder}/")), nodeid.split("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """What shares out the tests."""
    return FileScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests of a process that shares the suite with others, and give the long ones time."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(_SWEEP_SECONDS))
    if hasattr(config, "workerinput"):
        rank = {folder: place for place, folder in enumerate(_LONGEST)}
        items.sort(key=lambda item: min((rank[part] for part in item.path.parts if part in rank), default=len(rank)))


def pytest_configure(config: pytest.Config) -> None:
    """Take SIGTERM for Ctrl-C: fixtures end what they have started."""
    is_controller = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")

    def end(_signal: int, _frame: FrameType | None) -> None:
        for worker in psutil.Process().children() if is_controller else ():
            worker.terminate()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
