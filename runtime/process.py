"""One child process: how it is started, when it is ready, how it is stopped.

Children live in sessions of their own, so that Ctrl-C reaches the supervisor alone, and die with it even when it is
killed: nothing keeps a port or a data folder after a crash.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class ProcessError(RuntimeError):
    """A child process did not start: says which one, why, and where its log is."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to start. `ready` is polled until true; `user` is a uid to switch to (only root can).

    `memory_limit` is how many bytes the process may hold; the supervisor starts it anew when it holds more.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: int | None = None
    group: int | None = None
    port: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    memory_limit: int | None = None
    ready: Callable[[], bool] = lambda: True
    ready_seconds: float = 60


def die_with_parent() -> None:
    """Called in a child before it becomes its program: it ends when the thread that started it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ManagedProcess:
    """A started `ProcessSpec`. Must be started from the main thread, which the child's life is tied to."""

    def __init__(self, spec: ProcessSpec, *, log_path: Path) -> None:
        self.spec, self.log_path = spec, log_path
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._popen.pid if self._popen else None

    def start(self) -> None:
        """Start the process, its output appended to the log."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                list(self.spec.argv),
                # os.environ: a child inherits PATH, locale and certificates besides its own settings
                env={**os.environ, **self.spec.env},
                cwd=self.spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call, which takes no lock
                user=self.spec.user,
                group=self.spec.group,
                extra_groups=[] if self.spec.user is not None else None,
            )

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._popen is not None and self._popen.poll() is None

    def memory(self) -> int:
        """Bytes that the process holds; 0 when it does not run."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) if self.pid else 0
        except psutil.NoSuchProcess:
            return 0

    def exit_code(self) -> int | None:
        """Exit code of a process that ended."""
        return self._popen.poll() if self._popen else None

    def wait_ready(self) -> None:
        """Wait until the process answers.

        Raises:
            ProcessError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + self.spec.ready_seconds
        while not self.spec.ready():
            if not self.is_running():
                raise ProcessError(
                    f"{self.spec.name} ended with code {self.exit_code()} while starting.\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"{self.spec.name} was not ready after {self.spec.ready_seconds:.0f} s.\n{self.log_tail()}"
                )
            time.sleep(0.05)

    def log_tail(self, lines: int = 15) -> str:
        """Last lines of the log, headed by its path."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join([f"Last lines of {self.log_path}:", *text.splitlines()[-lines:]])

    def stop(self, timeout: float = 15) -> None:
        """Ask the process to stop, kill its session after `timeout` seconds. Safe to call twice."""
        if self._popen is None:
            return
        if self._popen.poll() is None:
            self._popen.send_signal(self.spec.stop_signal)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._kill_session()

    def kill(self) -> None:
        """Kill the process at once, as a crash would."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait(10)

    def _kill_session(self) -> None:
        # a child of the child (a worker, a code server) may have outlived it
        if self._popen is not None:
            try:
                os.killpg(self._popen.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return


def is_port_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on the port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def free_port() -> int:
    """A port that nothing listens on right now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
