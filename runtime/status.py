"""What `./sluice status` shows: each process of the running stack, and how far the event log is behind."""

import json
import os
from typing import Any

import psutil
import psycopg
from rich.table import Table

from runtime.stack import Stack, StackError, adopt_environment, locate_stack


def read_status(stack: Stack) -> dict[str, Any]:
    """Processes as the supervisor last wrote them, checked against the machine, with their memory and lag."""
    try:
        state: dict[str, Any] = json.loads(stack.home.state_file.read_text())
    except FileNotFoundError:
        return {"running": False, "processes": []}
    if not psutil.pid_exists(state["pid"]):
        return {"running": False, "processes": []}
    details = _process_details(stack)
    for row in state["processes"]:
        row["memory_mb"] = _memory_mb(row["pid"])
        row["detail"] = details.get(row["name"], {})
        if row["memory_mb"] is None:
            row["state"] = "dead"
    return {"running": True, **state}


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
        with psycopg.connect(
            stack.with_remembered_ports().environment()["SLUICE_DATABASE_RELAY_URL"], connect_timeout=2
        ) as connection:
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
    stack = locate_stack(None)
    if not read_status(stack)["running"]:
        raise StackError("Sluice is not running here. Start it with ./sluice up.")
    return stack.with_remembered_ports()


def use_running_stack(*, unless_named: str) -> Stack | None:
    """Take the settings of the running stack, unless the environment names a deployment's by this variable."""
    if unless_named in os.environ:  # os.environ: asks only whether a person configured a deployment
        return None
    stack = running_stack()
    adopt_environment(stack.environment())
    return stack
