"""Dagster's own processes: one code server, the pages, and the daemon that runs schedules. All see the same instance.

`run` is the process that `sluice dagster` starts: it starts the three, restarts what dies, and stops them with itself.
"""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import yaml

from contracts.settings import OrchestrationSettings
from orchestration.instance import fail_abandoned_runs, open_instance

logger = logging.getLogger(__name__)

_PROJECT = Path(__file__).resolve().parents[1]
_LOCATION = "sluice"
_MODULE = "orchestration.definitions"
_STOP_SECONDS = 5
_STEADY_SECONDS = 60
_BACK_OFF_SECONDS = (1.0, 5.0, 15.0, 60.0)


@dataclass(frozen=True)
class Command:
    """A process to start."""

    name: str
    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)


def commands(settings: OrchestrationSettings, *, socket_path: Path) -> list[Command]:
    """What to start, in order. Writes the home's workspace file; the code server listens on a socket, not on a port."""
    home = settings.dagster_home.absolute()
    workspace = home / "workspace.yaml"
    server = {"grpc_server": {"socket": str(socket_path), "host": "localhost", "location_name": _LOCATION}}
    workspace.write_text(yaml.safe_dump({"load_from": [server]}), encoding="utf-8")
    # DAGSTER_HOME: Dagster's own commands look for their instance there and nowhere else
    env = {"DAGSTER_HOME": str(home), "PYTHONPATH": str(_PROJECT)}
    code_server = [
        "dagster", "api", "grpc", "--module-name", _MODULE, "--location-name", _LOCATION,
        "--socket", str(socket_path),
    ]  # fmt: skip
    pages = [
        "dagster_webserver", "--workspace", str(workspace), "--host", settings.dagster_host,
        "--port", str(settings.dagster_port),
    ]  # fmt: skip
    daemon = ["dagster._daemon", "run", "--workspace", str(workspace)]
    return [
        Command(name, [sys.executable, "-m", "orchestration.program", *argv], env)
        for name, argv in (("code server", code_server), ("pages", pages), ("daemon", daemon))
    ]


def run(stop: threading.Event) -> None:
    """Keep Dagster's processes running until told to stop. To be called from the main thread."""
    settings = OrchestrationSettings()
    with open_instance(settings.dagster_home) as instance:
        fail_abandoned_runs(instance, of_loop=False)
    # a short path of its own: socket names are limited to some hundred characters
    with tempfile.TemporaryDirectory(prefix="sluice-dagster-") as folder:
        socket_path = Path(folder) / "code.sock"
        children = [_Child(command) for command in commands(settings, socket_path=socket_path)]
        try:
            while not stop.is_set():
                # the daemon, last of them, has nothing to do before the code server answers
                for child in children if socket_path.exists() else children[:-1]:
                    child.keep_running()
                stop.wait(0.5)
        finally:
            _stop_all(children)


def _stop_all(children: Sequence["_Child"]) -> None:
    deadline = monotonic() + _STOP_SECONDS
    for child in children:
        child.signal_all(signal.SIGTERM)
    for child in children:
        child.wait(max(0.0, deadline - monotonic()))
    for child in children:
        child.signal_all(signal.SIGKILL)
        child.wait(_STOP_SECONDS)


_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _Child:
    """One of the processes, started again with growing pauses when it dies; it dies with this process in any case."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._started_at = 0.0
        self._due_at = 0.0

    def keep_running(self) -> None:
        """Start it if it does not run and its pause is over."""
        now = monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._deaths = 0 if now - self._started_at > _STEADY_SECONDS else self._deaths
            pause = _BACK_OFF_SECONDS[min(self._deaths, len(_BACK_OFF_SECONDS) - 1)]
            logger.warning("Dagster's %s ended with code %s; again in %g s", self._command.name, code, pause)
            self._deaths += 1
            self._due_at, self._process = now + pause, None
        if now >= self._due_at:
            self._started_at = now
            # os.environ: a child inherits PATH, locale and this process's own settings
            environment = {**os.environ, **self._command.env}
            self._process = subprocess.Popen(
                self._command.argv,
                env=environment,
                cwd=_PROJECT,
                stdin=subprocess.DEVNULL,
                process_group=0,  # of this process's session, whose priority counts for all of it
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # one prctl call, which takes no lock
            )

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started, runs included."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait for its end, at most so long."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
