"""The whole product as a person runs it: `sluice up --demo` in a folder of its own, on free ports."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.demo import DEMO_PASSWORD
from runtime.home import PROJECT, Home, Ports
from runtime.process import die_with_parent, is_port_open
from tests.eventually import eventually

_READY_SECONDS = 600
#: `up` with a third of the demo's deals, whose import and figures take longer than all else.
_SMALL_DEMO = "from runtime import demo_data, up; demo_data.DEALS //= 3; up.main()"


def free_port_base() -> int:
    """Five ports in a row that nothing listens on."""
    chooser = random.SystemRandom()
    while True:
        base = chooser.randrange(20_000, 32_000, 10)  # below the ports that the system gives to clients
        if not any(is_port_open(port) for port in vars(Ports.from_base(base)).values()):
            return base


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's system user can reach; pytest closes its own to others, at each start of a pytest."""
    with tempfile.TemporaryDirectory(prefix="sluice-tests-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@dataclass
class SluiceStack:
    """A stack started by the command line."""

    home: Path
    base: int = field(default_factory=free_port_base)
    process: subprocess.Popen[str] | None = None

    @property
    def ports(self) -> Ports:
        """Where it listens."""
        return Ports.from_base(self.base)

    @property
    def api_url(self) -> str:
        """The API."""
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def dashboards_url(self) -> str:
        """The dashboards."""
        return f"http://127.0.0.1:{self.ports.dashboards}"

    @property
    def console(self) -> str:
        """What the terminal shows."""
        return (self.home.parent / "console.txt").read_text()

    def up(self, *options: str) -> None:
        """Start it and wait until it says that it is ready."""
        program = ["-c", _SMALL_DEMO] if "--demo" in options else ["-m", "runtime"]
        with (self.home.parent / "console.txt").open("w") as console:
            self.process = subprocess.Popen(
                [sys.executable, *program, "up", "--port-base", str(self.base), *options],
                env={**os.environ, "SLUICE_HOME": str(self.home)},
                cwd=PROJECT,
                stdout=console,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
            )
        process = self.process
        eventually(
            lambda: "Sluice is ready." in self.console or process.poll() is not None,
            seconds=_READY_SECONDS,
            what="sluice up",
        )
        assert process.poll() is None, self.console

    def stop(self) -> None:
        """Ctrl-C."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(90)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a verb beside the running stack."""
        done = subprocess.run(
            [sys.executable, "-m", "runtime", *arguments],
            env={**os.environ, "SLUICE_HOME": str(self.home), "COLUMNS": "200"},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        """`sluice status --json`."""
        found: dict[str, Any] = json.loads(self.run("status", "--json", check=False).stdout)
        return found

    def sign_in(self, email: str, password: str = DEMO_PASSWORD) -> httpx.Client:
        """A client with the person's token."""
        client = httpx.Client(base_url=self.api_url, timeout=30, headers={"Cache-Control": "no-cache"})
        answer = client.post("/v1/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    def sign_up(self, name: str) -> httpx.Client:
        """A client of the owner of a new organization."""
        email = f"{name}@example.org"
        with httpx.Client(base_url=self.api_url, timeout=30) as client:
            answer = client.post(
                "/v1/auth/signup",
                json={
                    "email": email,
                    "password": "a-long-test-password",
                    "name": name.title(),
                    "organization_name": name.title(),
                    "time_zone": "UTC",
                    "currency": "USD",
                },
            )
        assert answer.status_code == 201, answer.text
        return self.sign_in(email, "a-long-test-password")


@pytest.fixture(scope="package")
def sluice() -> Iterator[SluiceStack]:
    """The demo stack, shared: tests use organizations or deals of their own."""
    with open_folder() as folder:
        stack = SluiceStack(folder / "home")
        stack.home.mkdir()
        Home(stack.home).demo_scored.touch()  # no model learns from the demo meanwhile, which takes a processor
        try:
            stack.up("--demo")
            yield stack
        finally:
            stack.stop()
