"""One child process: how it is started, when it is ready, how it is stopped.

Children lead process groups of their own, so that Ctrl-C reaches the supervisor alone, and die with it even when it is
killed: nothing keeps a port or a data folder after a crash.
"""

import ctypes
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

#: A log begins anew beyond this size; one older file is kept.
LOG_BYTES = 10_000_000

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class ProcessError(RuntimeError):
    """A child process did not start: says which one, why, and where its log is."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to start. `ready` is polled until true; `user` is a uid to switch to (only root can).

    `memory_limit` is how many bytes the process may hold; the supervisor starts it anew when it holds more. It inherits
    the files `pass_fds`, with their numbers.
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
    pass_fds: Sequence[int] = ()
    ready: Callable[[], bool] = lambda: True
    ready_seconds: float = 60


def die_with_parent() -> None:
    """Called in a child before it becomes its program: it ends when the thread that started it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ManagedProcess:
    """A started `ProcessSpec`; without `log_path` it writes where this process writes.

    Must be started from the main thread, which the child's life is tied to.
    """

    def __init__(self, spec: ProcessSpec, *, log_path: Path | None) -> None:
        self.spec, self.log_path = spec, log_path
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._popen.pid if self._popen else None

    def start(self) -> None:
        """Start the process, its output appended to the log."""
        if self.log_path is None:
            self._start(None)
            return
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._start(log.fileno())

    def _start(self, output: int | None) -> None:
        self._popen = subprocess.Popen(
            list(self.spec.argv),
            # os.environ: a child inherits PATH, locale and certificates besides its own settings
            env={**os.environ, **self.spec.env},
            cwd=self.spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            process_group=0,  # but of this session: Linux may weigh sessions, and niceness counts within one
            preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call, which takes no lock
            pass_fds=self.spec.pass_fds,
            user=self.spec.user,
            group=self.spec.group,
            extra_groups=[] if self.spec.user is not None else None,
        )

    def rotate_log(self, limit: int = LOG_BYTES) -> None:
        """Let a log that has grown beyond the limit begin anew; what it held is beside it, with `.1` at its end."""
        if self.log_path is None:
            return
        with suppress(FileNotFoundError):
            if self.log_path.stat().st_size <= limit:
                return
            with suppress(OSError):  # on a full disk the old lines are lost, and the log stays bounded
                shutil.copyfile(self.log_path, self.log_path.with_name(f"{self.log_path.name}.1"))
            os.truncate(self.log_path, 0)  # the process goes on writing at its end

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._popen is not None and self._popen.poll() is None

    def memory(self) -> int:
        """Bytes that the process holds; 0 when it does not run."""
        with suppress(psutil.NoSuchProcess):
            return int(psutil.Process(self.pid).memory_info().rss) if self.pid else 0
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
        if self.log_path is None or not self.log_path.exists():
            return ""
        return "\n".join(
            [f"Last lines of {self.log_path}:", *self.log_path.read_text("utf-8", "replace").splitlines()[-lines:]]
        )

    def ask_to_stop(self) -> None:
        """Send it the signal that it stops at, and do not wait."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(self.spec.stop_signal)

    def stop(self, timeout: float = 15) -> None:
        """Ask the process to stop; after `timeout` seconds kill it with all that it started. Safe to call twice."""
        if self._popen is None:
            return
        self.ask_to_stop()
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        with suppress(ProcessLookupError, PermissionError):  # a child of the child may have outlived it
            os.killpg(self._popen.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill the process and all that it started at once, as a crash of the machine would."""
        if self._popen is None or self._popen.poll() is not None:
            return
        family = psutil.Process(self._popen.pid).children(recursive=True)
        self._popen.kill()
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._popen.wait(10)


def is_port_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on the port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(0.5)
        # among the ports that the system gives away itself, a probe may be given this one and meet itself
        return probe.connect_ex((host, port)) == 0 and probe.getsockname() != probe.getpeername()


def answers(url: str, timeout: float = 2) -> bool:
    """Whether a server of ours answers this loopback URL with 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310  # a loopback URL of ours
            return int(response.status) == 200
    except (OSError, http.client.HTTPException):  # the latter also where a probe met itself
        return False


def free_port() -> int:
    """A port that nothing listens on right now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
