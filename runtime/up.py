"""`sluice up`: the whole embedded stack under one supervisor, in a process that has imported nothing else.

It runs for as long as the stack does, so it must be small; `python -m runtime` goes straight here.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Annotated

import typer
from rich.console import Console

from runtime.demo import DEMO_PASSWORD, DEMO_USERS, OWNER, DemoError, fill
from runtime.embedded.postgres import PostgresSetupError
from runtime.ending import run
from runtime.figures import Figures
from runtime.home import PROJECT, HomeError
from runtime.import_client import ImportRefusedError
from runtime.process import ProcessError
from runtime.stack import Stack, StackError, prepare_stack
from runtime.supervisor import Supervisor

console = Console(highlight=False)

#: The demo's figures take a minute.
_FIGURES_SECONDS = 240


def up(
    *,
    demo: Annotated[bool, typer.Option(help="Fill the demo organization, unless it is there.")] = False,
    port_base: Annotated[
        int | None, typer.Option(min=1024, max=65530, help="Use five ports in a row from here instead of the usual.")
    ] = None,
) -> None:
    """Start the whole embedded stack and keep it running until Ctrl-C."""
    stack = prepare_stack(port_base)
    supervisor = Supervisor(logs=stack.home.logs, state_file=stack.home.state_file, say=_say)
    supervisor.install_signal_handlers()
    with stack.lock():
        stack.check_ports()
        stack.remember_ports()
        try:
            stack.start(supervisor, _say)
            if demo:
                _fill_and_watch(stack, supervisor)
            if not supervisor.is_stopping:
                _print_welcome(stack, demo=demo)
            is_unscored = demo and not supervisor.is_stopping and not stack.home.demo_scored.exists()
            with _scoring(stack) if is_unscored else nullcontext():
                supervisor.watch()
        finally:
            _say("stopping")
            supervisor.stop_all()


def _say(text: str) -> None:
    """Say it, if that is possible: the terminal may be a file on a full disk, and what runs must go on."""
    with suppress(OSError):
        console.print(text)


def _fill_and_watch(stack: Stack, supervisor: Supervisor) -> None:
    """Fill the demo in a thread: processes are started, and started again, by the main thread alone."""
    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(fill, stack.api_url, say=_say, database_url=stack.database_url)
        supervisor.watch(until=filling.done)
        if supervisor.is_stopping:
            supervisor.stop_all()  # without the API the thread ends, too
            return
    filling.result()
    _wait_for_figures(stack, supervisor)


def _wait_for_figures(stack: Stack, supervisor: Supervisor) -> None:
    """Ready is what a person can look at: wait until the figures of the demo are published."""
    settings, began = stack.environment(), time.monotonic()
    figures = Figures(settings["SLUICE_DATABASE_RELAY_URL"], settings["SLUICE_WAREHOUSE_URL"])
    if figures.are_seen():
        return
    _say("building the demo's figures")
    supervisor.watch(until=lambda: figures.are_seen() or time.monotonic() - began > _FIGURES_SECONDS)
    if not figures.are_seen() and not supervisor.is_stopping:
        _say("The figures take longer than usual on this machine; they appear by themselves.")


@contextmanager
def _scoring(stack: Stack) -> Iterator[None]:
    """Have a model learn from the demo's deals and score what is open, meanwhile: in a process of its own, for what it
    imports. What it says is in its log."""
    command = [sys.executable, "-m", "runtime", "score", "train", "--email", OWNER]
    # os.environ: a command beside the stack needs what any program needs
    environment = {**os.environ, **stack.environment(), "SLUICE_PASSWORD": DEMO_PASSWORD}
    with (stack.home.logs / "scoring.log").open("w") as log:
        training = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            if training.poll() is None:
                training.terminate()
            elif training.returncode == 0:
                stack.home.demo_scored.touch()
            training.wait()


def _print_welcome(stack: Stack, *, demo: bool) -> None:
    console.print(f"\n[bold green]Sluice is ready.[/bold green]\n  dashboards  {stack.dashboards_url}")
    console.print(f"  API         {stack.api_url}/docs\n  Dagster     {stack.dagster_url}")
    console.print(f"              operators' token  {stack.secrets.operator}")
    if demo:
        console.print(f"\n  sign in as  {', '.join(DEMO_USERS)}\n  password    {DEMO_PASSWORD}")
    else:
        console.print("\n  ./sluice demo fills a demo organization; POST /v1/auth/signup makes your own.")
    console.print("\nCtrl-C stops everything; your data stays.\n")


def main() -> None:
    """Run this verb alone."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_only)
    app.command()(up)
    run(app, expected=(HomeError, StackError, DemoError, ImportRefusedError, ProcessError, PostgresSetupError))


def _only() -> None:
    """Sluice."""
