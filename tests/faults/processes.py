"""The event spine as real processes in a folder and on ports of its own, each of which can be harmed.

PostgreSQL, broker, API, relays, loaders and the refresh are started as `sluice up` starts them, but nobody restarts
what dies: the test does. Proxies stand before PostgreSQL (as the API and the relays see it) and before the broker.
Start and harm from the main thread: children die with the thread that started them.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import psutil
import psycopg

from orchestration.build.lock import BuildBusyError, build_lock
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.home import Home, Ports
from runtime.process import ManagedProcess, ProcessSpec, free_port
from runtime.stack import Stack
from tests.eventually import eventually
from tests.faults.proxy import TcpProxy

#: Cheap sign-ins that outlive the longest sweep.
_API_SETTINGS = {"SLUICE_PASSWORD_HASH_MEMORY_KIB": "64", "SLUICE_ACCESS_TOKEN_SECONDS": "86400"}
#: Zombies are cut off soon.
_RELAY_SETTINGS = {"SLUICE_RELAY_LEASE_SECONDS": "3"}
_GONE_SECONDS = 20.0


class Harm(Enum):
    """How a process ends."""

    KILL = "SIGKILL, with all its children"
    IMMEDIATE = "SIGQUIT: pg_ctl stop -m immediate"


@dataclass(frozen=True)
class _ProxiedStack(Stack):
    """The embedded stack, its clients sent through proxies."""

    proxies: dict[str, int] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Every setting; PostgreSQL and broker are where the proxies listen."""
        ways = {f":{getattr(self.ports, name)}": f":{port}" for name, port in self.proxies.items()}
        return {name: _redirected(value, ways) for name, value in super().environment().items()}


def _redirected(value: str, ways: dict[str, str]) -> str:
    for direct, proxied in ways.items():
        value = value.replace(direct, proxied)
    return value


class Spine:
    """One installation. Use as a context manager; everything runs when the block begins."""

    def __init__(self, folder: Path, *, relays: int = 2, loaders: int = 1) -> None:
        folder.mkdir(mode=0o755)  # PostgreSQL's system user passes through
        home = Home(folder / "home")
        home.prepare()
        ports = Ports(*(free_port() for _ in range(5)))
        self._exits = ExitStack()
        self.database_proxy, self.broker_proxy = TcpProxy(ports.postgres), TcpProxy(ports.broker)
        for proxy in (self.database_proxy, self.broker_proxy):
            self._exits.enter_context(proxy)
        proxies = {"postgres": self.database_proxy.port, "broker": self.broker_proxy.port}
        self._stack = _ProxiedStack(home, ports, home.secrets(), proxies)
        self._direct = Stack(home, ports, home.secrets())
        self._counts = {"relay": relays, "loader": loaders}
        self._processes: dict[str, ManagedProcess] = {}
        self.harmed: dict[str, int] = {}

    def __enter__(self) -> "Spine":
        self._stack.postgres.prepare()
        self._launch(self._stack.postgres.spec())
        self._launch(self._broker_spec())
        self._processes["postgres"].wait_ready()
        self._direct.prepare_schema()
        self._processes["broker"].wait_ready()
        for spec in self._own_specs():
            self._launch(spec)
        for process in self._processes.values():
            process.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        for name, process in self._processes.items():
            if process.is_running() and name != "postgres":  # all at once: nothing is kept
                self._signal(name, signal.SIGCONT)
                self.terminate(name)
        for process in reversed(self._processes.values()):
            process.stop()
        self._exits.close()

    @property
    def home(self) -> Home:
        """The installation's folder."""
        return self._stack.home

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return self._stack.api_url

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The server, without a proxy."""
        return self._direct.postgres

    @property
    def environment(self) -> dict[str, str]:
        """Settings of the installation, without proxies: what the checker uses."""
        return self._direct.environment()

    @property
    def names(self) -> list[str]:
        """Every process."""
        return list(self._processes)

    def process(self, name: str) -> ManagedProcess:
        """One process."""
        return self._processes[name]

    def kill(self, name: str, harm: Harm = Harm.KILL) -> None:
        """End a process without asking it. Its children go with it, as when the machine loses power."""
        process, pid = self._processes[name], self._pid(name)
        children = psutil.Process(pid).children(recursive=True)
        if harm is Harm.IMMEDIATE:
            os.kill(pid, signal.SIGQUIT)
            eventually(lambda: not process.is_running(), what=f"{name} ends", seconds=_GONE_SECONDS)
        else:
            process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=_GONE_SECONDS)
        self.harmed[name] = self.harmed.get(name, 0) + 1

    def restart(self, name: str) -> None:
        """Start a process that has ended. `wait_ready` tells when it answers."""
        self._processes[name].start()

    def wait_ready(self, name: str) -> None:
        """Wait until a process answers (those without a port: until it runs)."""
        self._processes[name].wait_ready()

    def is_building(self) -> bool:
        """Whether dbt, in the refresh, is at work."""
        try:
            with build_lock(self.environment["SLUICE_WAREHOUSE_URL"], holder="a look", wait_seconds=0):
                return False
        except BuildBusyError:
            return True

    def pause(self, name: str) -> None:
        """SIGSTOP: it keeps connections and locks, and does nothing."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._signal(name, signal.SIGCONT)

    def terminate(self, name: str) -> None:
        """SIGTERM, without waiting."""
        self._signal(name, signal.SIGTERM)

    def mend(self) -> None:
        """Start what is not running and wait until everything answers."""
        for process in self._processes.values():
            if not process.is_running():
                process.start()
        for process in self._processes.values():
            process.wait_ready()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Print what the processes said last, should the block fail."""
        try:
            yield
        except BaseException:
            print(*(process.log_tail() for process in self._processes.values()), sep="\n")
            with psycopg.connect(self.environment["SLUICE_DATABASE_RELAY_URL"]) as connection:
                print(*connection.execute("select * from process_status").fetchall(), sep="\n")
            raise

    def _signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self._pid(name), number)

    def _pid(self, name: str) -> int:
        pid = self._processes[name].pid
        assert pid is not None, f"{name} was never started"
        return pid

    def _launch(self, spec: ProcessSpec) -> None:
        self._processes[spec.name] = ManagedProcess(spec, log_path=self.home.logs / f"{spec.name}.log")
        self._processes[spec.name].start()

    def _broker_spec(self) -> ProcessSpec:
        spec = self._stack.broker.spec()
        listener = f"tcp://127.0.0.1:{self._stack.ports.broker}"
        advertised = f"--advertised-listener-url=tcp://127.0.0.1:{self.broker_proxy.port}"
        argv = [part for part in spec.argv if not part.startswith("--advertised-listener-url=")]
        assert f"--listener-url={listener}" in argv
        return replace(spec, argv=[*argv, advertised])

    def _own_specs(self) -> list[ProcessSpec]:
        wanted = {"api", "relay", "loader", "refresh"}
        specs: list[ProcessSpec] = []
        for spec in self._stack.specs():
            if spec.name not in wanted:
                continue
            env = {**spec.env, **{"api": _API_SETTINGS, "relay": _RELAY_SETTINGS}.get(spec.name, {})}
            for number in range(1, self._counts.get(spec.name, 1) + 1):
                name = spec.name if number == 1 else f"{spec.name}-{number}"
                specs.append(replace(spec, name=name, env=env))
        return specs
