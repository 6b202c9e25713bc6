"""`sluice status`, `down` and `reload`: asked often, by people and scripts, and so without the whole command line."""

import json
from typing import Annotated

import typer
from rich.console import Console

from runtime.ending import run
from runtime.home import Home, HomeError
from runtime.process import ProcessError
from runtime.stack import StackError
from runtime.status import as_table, read_status, reload_processes, stop_running

console = Console(highlight=False)

#: What has read definitions and models when it started.
_RELOADED = ("api", "refresh", "dagster", "dashboards")


def down() -> None:
    """Stop the running stack."""
    console.print("stopped" if stop_running() else "Sluice is not running.")


def reload_code(
    names: Annotated[list[str] | None, typer.Argument(help=f"By default: {', '.join(_RELOADED)}.")] = None,
) -> None:
    """Start processes anew that an edited metric, model or page concerns, so that they know of it."""
    console.print(f"starting anew: {', '.join(reload_processes(names or _RELOADED))}")


def status(*, json_output: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Every process: pid, port, state, restarts, memory, lag."""
    found = read_status(Home.locate())
    if json_output:
        print(json.dumps(found, indent=2, default=str))
    elif found["running"]:
        console.print(as_table(found))
    else:
        console.print("Sluice is not running. Start it with ./sluice up.")
    if not found["running"]:
        raise typer.Exit(3)


def main() -> None:
    """Run one of them as the command line would."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(down)
    app.command("reload")(reload_code)
    app.command()(status)
    run(app, expected=(HomeError, ProcessError, StackError))
