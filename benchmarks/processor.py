"""Processor time that processes took: says what work costs, however busy the machine is with other things."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil

from benchmarks.servers import RunningStack


def taken(running: RunningStack, names: Iterable[str]) -> Mapping[str, float]:
    """Seconds of user and system time so far, by process; what it started, living or ended, is its own."""
    return {name: _family(running.processes[name].pid) for name in names}


def _family(pid: int | None) -> float:
    leader = psutil.Process(pid)
    times = leader.cpu_times()
    seconds = times.user + times.system + times.children_user + times.children_system
    for one in leader.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # ended meanwhile: its parent has its time from now on
            own = one.cpu_times()
            seconds += own.user + own.system + own.children_user + own.children_system
    return float(seconds)
