"""What `./sluice status` shows: each process of the running stack, and how far the event log is behind."""

import json
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import psutil
import psycopg
from rich.table import Table

from runtime.home import Home
from runtime.processes import PROCESSES, SCORER
from runtime.stack import Stack, StackError, adopt_environment, known_stack, lock_holder


def read_status(home: Home) -> dict[str, Any]:
    """Processes as the supervisor last wrote them, checked against the machine, with their memory and lag."""
    state = _running_state(home)
    if state is None:
        return {"running": False, "processes": []}
    details = _process_details(known_stack())
    for row in state["processes"]:
        row["memory_mb"] = _memory_mb(row["pid"])
        row["detail"] = details.get(row["name"], {})
        if row["name"] == "dagster" and SCORER in details:  # a program of that process
            row["detail"] = {f"{SCORER} {name}": value for name, value in details[SCORER].items()}
        if row["memory_mb"] is None:
            row["state"] = "dead"
    return {"running": True, **state}


def _running_state(home: Home) -> dict[str, Any] | None:
    """What the running supervisor last wrote; None where none runs."""
    holder = lock_holder(home)
    try:
        state: dict[str, Any] = json.loads(home.state_file.read_text())
    except FileNotFoundError:
        return None
    # another program holds the lock while it restores; one that crashed has left its state
    return state if holder is not None and holder.pid == state["pid"] else None


def _memory_mb(pid: int) -> int | None:
    """Proportional memory of a process and its children in MB; None when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(_private_bytes(member) for member in family) // 1_000_000
    except psutil.NoSuchProcess:
        return None


def _private_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, psutil.NoSuchProcess, AttributeError):
        return 0


def _process_details(stack: Stack) -> dict[str, Any]:
    """State and lag as each process reports them in PostgreSQL."""
    try:
        with psycopg.connect(stack.environment()["SLUICE_DATABASE_RELAY_URL"], connect_timeout=2) as connection:
            rows = connection.execute("select process, state, detail from process_status").fetchall()
    except psycopg.Error:
        return {}
    return {name: {"state": state, **(detail or {})} for name, state, detail in rows}


def as_table(status: dict[str, Any]) -> Table:
    """The status as a table for people."""
    table = Table("process", "state", "pid", "port", "restarts", "memory", "detail")
    for row in status["processes"]:
        detail = ", ".join(f"{name} {value}" for name, value in row["detail"].items() if value not in (None, "", {}))
        table.add_row(
            row["name"],
            row["state"],
            str(row["pid"]),
            str(row["port"] or ""),
            str(row["restarts"]),
            f"{row['memory_mb']} MB" if row["memory_mb"] is not None else "",
            detail,
        )
    return table


def running_stack() -> Stack:
    """The stack that runs in the current home folder, on the ports it was started with.

    Raises:
        StackError: none does.
    """
    stack = known_stack()
    if _running_state(stack.home) is None:
        raise StackError("Sluice is not running here. Start it with ./sluice up.")
    return stack


def stop_running(seconds: float = 180) -> bool:
    """Stop the stack of the current home folder; false where none runs.

    Raises:
        StackError: it does not stop.
    """
    home = Home.locate()
    holder = lock_holder(home)
    if holder is None or _running_state(home) is None:
        return False
    holder.send_signal(signal.SIGTERM)
    try:
        holder.wait(seconds)
    except psutil.TimeoutExpired as error:
        raise StackError(f"Process {holder.pid} was told to stop {seconds:.0f} s ago and still runs.") from error
    return True


def reload_processes(names: Collection[str]) -> list[str]:
    """Have processes of the running stack started anew, so that they see edited code and definitions; answers which.

    Raises:
        StackError: nothing runs, or no process has such a name.
    """
    home = running_stack().home
    state = _running_state(home) or {"pid": 0, "processes": []}
    ours = {row["name"]: row["pid"] for row in state["processes"] if row["name"] in PROCESSES}
    if unknown := set(names) - set(ours):
        raise StackError(f"There is no process {', '.join(sorted(unknown))}; there are {', '.join(ours)}.")
    chosen = [name for name in ours if name in names]
    for name in chosen:
        with suppress(psutil.NoSuchProcess):  # then it is being started anyway
            process = psutil.Process(ours[name])
            if process.ppid() == state["pid"]:
                process.terminate()
    return chosen


def use_running_stack(*, unless_named: str) -> Stack | None:
    """Take the settings of the running stack, unless the environment names a deployment's by this variable."""
    if unless_named in os.environ:  # os.environ: asks only whether a person configured a deployment
        return None
    stack = running_stack()
    adopt_environment(stack.environment())
    return stack
