"""Starts chosen processes of a stack of its own, on free ports, for as long as a benchmark runs."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from runtime.home import Home, Ports
from runtime.process import ManagedProcess, ProcessSpec, free_port
from runtime.stack import Stack


@dataclass(frozen=True)
class RunningStack:
    """A stack and its processes by name, for benchmarks that stop, kill or weigh one."""

    stack: Stack
    processes: Mapping[str, ManagedProcess]


@contextmanager
def running_processes(
    names: Collection[str] | None = None, *, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[RunningStack]:
    """A migrated stack in which the named processes run (`postgres` always); all of them when None.

    `settings` are further variables of their environment.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        path.chmod(0o755)  # PostgreSQL may run as another system user
        home = Home(path / "home")
        home.prepare()
        stack = Stack(home, Ports(*(free_port() for _ in range(5))), home.secrets())
        stack.postgres.prepare()
        servers = [stack.postgres.spec(), *([stack.broker.spec()] if names is None or "broker" in names else [])]
        rest = [
            replace(spec, env={**spec.env, **settings}) for spec in stack.specs() if names is None or spec.name in names
        ]
        started: dict[str, ManagedProcess] = {}

        def start(spec: ProcessSpec) -> None:
            started[spec.name] = process = ManagedProcess(spec, log_path=home.logs / f"{spec.name}.log")
            process.start()

        try:
            for spec in servers:
                start(spec)
                started[spec.name].wait_ready()
            stack.prepare_schema()
            for spec in rest:
                start(spec)
            for process in started.values():
                process.wait_ready()
            yield RunningStack(stack, started)
        finally:
            for process in reversed(started.values()):
                process.stop()


@contextmanager
def running_stack(
    names: Collection[str] | None = None, *, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Stack]:
    """The same, for benchmarks that leave the processes alone."""
    with running_processes(names, settings=settings) as running:
        yield running.stack
