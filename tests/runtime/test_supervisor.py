"""The supervisor brings back what dies, says so, and leaves nothing running."""

import json
import os
import signal
import socket
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from runtime.embedded.broker import EmbeddedBroker
from runtime.process import ManagedProcess, ProcessError, ProcessSpec, answers
from runtime.supervisor import Supervisor
from tests.eventually import eventually


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Supervisor:
    return Supervisor(logs=tmp_path / "logs", state_file=tmp_path / "stack.json", say=said.append)


def _spec(code: str, name: str = "worker") -> ProcessSpec:
    return ProcessSpec(name=name, argv=[sys.executable, "-c", code])


def _pid(supervisor: Supervisor, tmp_path: Path) -> int:
    supervisor.write_state()
    pid: int = json.loads((tmp_path / "stack.json").read_text())["processes"][0]["pid"]
    return pid


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # dead, and nobody has asked for it
    except psutil.NoSuchProcess:
        return True


def test_a_killed_process_comes_back_and_the_terminal_says_so(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    supervisor.start(_spec("import time; time.sleep(60)"))
    first = _pid(supervisor, tmp_path)
    os.kill(first, signal.SIGKILL)
    supervisor.watch(until=lambda: any("restart 1" in line for line in said))
    second = _pid(supervisor, tmp_path)
    assert second != first
    assert "worker ended with code -9" in said[0]
    supervisor.stop_all()
    assert not psutil.pid_exists(second)


def test_a_process_that_holds_more_memory_than_it_may_is_started_anew(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    marker = tmp_path / "has run"
    code = f"""
import pathlib, time
marker = pathlib.Path({str(marker)!r})
held = b"x" * (1 if marker.exists() else 200_000_000)
marker.touch()
time.sleep(60)
"""
    supervisor.start(replace(_spec(code, name="broker"), memory_limit=100_000_000))
    first = _pid(supervisor, tmp_path)
    supervisor.watch(until=lambda: any("restart" in line for line in said))
    assert _pid(supervisor, tmp_path) != first
    assert "more than its 100" in said[0]
    assert _is_gone(first)
    supervisor.stop_all()
    assert EmbeddedBroker(port=1).spec().memory_limit is not None


def test_what_the_process_started_is_stopped_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = f"""
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path({str(child)!r}).write_text(str(child.pid))
time.sleep(60)
"""
    supervisor.start(_spec(code))
    supervisor.watch(until=lambda: child.exists() and child.read_text() != "")
    supervisor.stop_all()
    eventually(lambda: _is_gone(int(child.read_text())), seconds=10, what="the process's own child is gone")


def test_a_process_that_ends_while_starting_is_named_with_its_last_words(supervisor: Supervisor) -> None:
    spec = ProcessSpec(name="api", argv=[sys.executable, "-c", "raise SystemExit('no settings')"], ready=lambda: False)
    supervisor.start(spec)
    with pytest.raises(ProcessError, match=r"(?s)api ended with code 1 .*no settings"):
        supervisor.wait_ready("api")
    supervisor.stop_all()


def test_a_log_that_has_grown_begins_anew_and_the_process_goes_on_writing(tmp_path: Path) -> None:
    code = "import sys, time\nfor n in range(10**6):\n    print('line', n, flush=True)\n    time.sleep(0.001)"
    process = ManagedProcess(_spec(code), log_path=tmp_path / "worker.log")
    process.start()
    eventually(lambda: process.log_path is not None and process.log_path.stat().st_size > 2_000, what="it writes")
    process.rotate_log(limit=1_000)
    assert (tmp_path / "worker.log.1").read_text().startswith("line 0\n")
    eventually(lambda: "line" in (tmp_path / "worker.log").read_text(), what="it writes on")
    process.kill()
    written = (tmp_path / "worker.log").read_text()
    assert "\0" not in written
    assert "line 0\n" not in written
    assert len(written) < 10_000_000


def test_r41_a_probe_that_meets_itself_or_no_http_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(connection.recv(4096))

        thread = threading.Thread(target=echo)
        thread.start()
        assert answers(f"http://127.0.0.1:{server.getsockname()[1]}/readyz") is False
        thread.join()
