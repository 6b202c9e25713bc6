"""Keeps a set of processes running: starts them, restarts what dies with back-off, says so, stops all cleanly.

`sluice up` runs everything under one, `sluice api` its workers, `sluice dagster` Dagster's programs.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from runtime.process import ManagedProcess, ProcessError, ProcessSpec

_BACK_OFF_SECONDS = (0.5, 1, 2, 5, 10, 30)
#: A process that has lived this long starts over with the shortest back-off.
_STEADY_SECONDS = 60
_WEIGH_SECONDS = 1


@dataclass
class _Supervised:
    process: ManagedProcess
    restarts: int = 0
    failures_in_a_row: int = 0
    started_at: float = field(default_factory=time.monotonic)
    due_at: float | None = None
    weighed_at: float = field(default_factory=time.monotonic)

    def next_pause(self, now: float) -> float:
        """Seconds until it is tried again, more with each failure."""
        wait = _BACK_OFF_SECONDS[min(self.failures_in_a_row, len(_BACK_OFF_SECONDS) - 1)]
        self.due_at = now + wait
        self.failures_in_a_row += 1
        return wait


class Supervisor:
    """Starts, watches and stops processes; writes what it knows to `state_file` for `sluice status`.

    Without `logs` they write where this process writes.
    """

    def __init__(
        self, *, say: Callable[[str], object], logs: Path | None = None, state_file: Path | None = None
    ) -> None:
        self._logs, self._state_file, self._say = logs, state_file, say
        self._supervised: dict[str, _Supervised] = {}
        self._stop = threading.Event()
        self._is_watching = False

    def install_signal_handlers(self) -> None:
        """Stop on SIGTERM, SIGINT and SIGHUP."""

        def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
            self._stop.set()
            if not self._is_watching:  # whatever is being waited for, a person who asks to stop is heard
                raise ProcessError("stopped while starting")

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, ask_to_stop)

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def start(self, spec: ProcessSpec) -> None:
        """Start a process; `wait_ready` tells when it answers."""
        process = ManagedProcess(spec, log_path=self._logs / f"{spec.name}.log" if self._logs else None)
        self._supervised[spec.name] = _Supervised(process)
        process.start()
        self.write_state()

    def wait_ready(self, name: str) -> None:
        """Wait for a started process.

        Raises:
            ProcessError: it ended or did not answer in time, or a stop was asked for.
        """
        if self.is_stopping:
            raise ProcessError("stopped while starting")
        self._supervised[name].process.wait_ready()
        self.write_state()

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Restart what dies until a stop is asked for, or until `until` is true."""
        self._is_watching = True
        while not until() and not self._stop.wait(0.25):
            for name, supervised in self._supervised.items():
                self._look_after(name, supervised)

    def _look_after(self, name: str, supervised: _Supervised) -> None:
        now, process = time.monotonic(), supervised.process
        if process.is_running():
            if now - supervised.started_at > _STEADY_SECONDS:
                supervised.failures_in_a_row = 0
            self._weigh(name, supervised, now)
            return
        if supervised.due_at is None:
            wait = supervised.next_pause(now)
            where = f" (log: {process.log_path})" if process.log_path else ""
            self._say(f"{name} ended with code {process.exit_code()}; starting it again in {wait:g} s{where}")
            self.write_state()
        elif now >= supervised.due_at:
            try:
                process.start()
            except OSError as error:  # a full disk, no memory: what runs goes on, and this is tried again
                wait = supervised.next_pause(now)
                self._say(f"{name} cannot be started: {error.strerror}; trying again in {wait:g} s")
                return
            supervised.due_at, supervised.started_at = None, now
            supervised.restarts += 1
            self._say(f"{name} is started again (restart {supervised.restarts})")
            self.write_state()

    def _weigh(self, name: str, supervised: _Supervised, now: float) -> None:
        if now - supervised.weighed_at < _WEIGH_SECONDS:
            return
        supervised.weighed_at = now
        supervised.process.rotate_log()
        limit = supervised.process.spec.memory_limit
        if limit is not None and (held := supervised.process.memory()) > limit:
            self._say(f"{name} holds {held / 1e6:.0f} MB, more than its {limit / 1e6:.0f}: it has to start anew")
            supervised.process.stop()

    def stop_all(self, *, at_once: bool = False, seconds: float = 15) -> None:
        """Stop everything, what was started last first, or all `at_once`; killed after `seconds`."""
        self._is_watching = True  # a second Ctrl-C does not leave half of it running
        if at_once:
            for supervised in self._supervised.values():
                supervised.process.ask_to_stop()
        for supervised in reversed(self._supervised.values()):
            supervised.process.stop(seconds)
        if self._state_file is not None:
            self._state_file.unlink(missing_ok=True)

    def write_state(self) -> None:
        """Write what `sluice status` shows, atomically. On a full disk it keeps what it had: what runs goes on."""
        if self._state_file is None:
            return
        rows = [
            {
                "name": name,
                "pid": one.process.pid,
                "port": one.process.spec.port,
                "state": "running" if one.process.is_running() else "restarting",
                "restarts": one.restarts,
                "log": str(one.process.log_path),
            }
            for name, one in self._supervised.items()
        ]
        state = {"pid": os.getpid(), "written_at": datetime.now(UTC).isoformat(), "processes": rows}
        temporary = self._state_file.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(state))
            temporary.replace(self._state_file)
        except OSError as error:
            self._say(f"cannot write {self._state_file}: {error.strerror}")
