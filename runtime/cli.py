"""The command line: each verb is a few lines over the module that does it."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import duckdb
import psycopg
import typer
from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError
from rich.console import Console

from benchmarks.runner import BENCHMARKS, LONG_BENCHMARKS, UnknownParameterError, read_parameters, run_benchmarks
from contracts.settings import RelayDatabaseSettings, WarehouseSettings
from ingest.event_log import RewriteUnderWayError
from ingest.outbox import list_parked, release_parked
from ingest.rebuild import rebuild as rebuild_warehouse
from ingest.sinks.interface import SinkUnavailableError
from models_ml.errors import ScoringError
from orchestration.build.dbt import DbtError
from orchestration.build.lock import BuildBusyError
from orchestration.reconciliation import reconcile_all
from runtime.accept import accept
from runtime.access_command import audit, link_command
from runtime.backup.command import backup, restore
from runtime.backup.server import BackupError
from runtime.bars import bars
from runtime.billing_command import BillingError
from runtime.billing_command import app as billing
from runtime.checks import run_checks
from runtime.demo import DEMO_PASSWORD, DEMO_USERS, DemoError, fill
from runtime.embedded.postgres import PostgresSetupError
from runtime.figures import Figures
from runtime.home import PROJECT, Home, HomeError
from runtime.import_client import ImportRefusedError
from runtime.import_command import import_command
from runtime.migrate import migrate
from runtime.new import SkeletonError
from runtime.new import app as new
from runtime.process import ProcessError
from runtime.processes import PROCESSES, Process
from runtime.rules_command import app as rules
from runtime.score_command import app as score
from runtime.serve import describe_settings
from runtime.stack import Stack, StackError, prepare_stack
from runtime.status import (
    as_table,
    read_status,
    reload_processes,
    running_stack,
    stop_running,
    use_running_stack,
)
from runtime.supervisor import Supervisor
from runtime.warehouse_command import WarehouseCommandError, sql_command, warehouse_command

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Sluice.")
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

_URL = "SLUICE_DATABASE_RELAY_URL"
#: The demo's figures take a minute.
_FIGURES_SECONDS = 240

#: What has read definitions and models when it started.
_RELOADED = ("api", "refresh", "dagster", "dashboards")


@app.command()
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
        filling = pool.submit(fill, stack.api_url, say=_say)
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


def _print_welcome(stack: Stack, *, demo: bool) -> None:
    console.print(f"\n[bold green]Sluice is ready.[/bold green]\n  dashboards  {stack.dashboards_url}")
    console.print(f"  API         {stack.api_url}/docs\n  Dagster     {stack.dagster_url}")
    console.print(f"              operators' token  {stack.secrets.operator}")
    if demo:
        console.print(f"\n  sign in as  {', '.join(DEMO_USERS)}\n  password    {DEMO_PASSWORD}")
    else:
        console.print("\n  ./sluice demo fills a demo organization; POST /v1/auth/signup makes your own.")
    console.print("\nCtrl-C stops everything; your data stays.\n")


@app.command()
def down() -> None:
    """Stop the running stack."""
    console.print("stopped" if stop_running() else "Sluice is not running.")


@app.command("reload")
def reload_code(
    names: Annotated[list[str] | None, typer.Argument(help=f"By default: {', '.join(_RELOADED)}.")] = None,
) -> None:
    """Start processes anew that an edited metric, model or page concerns, so that they know of it."""
    console.print(f"starting anew: {', '.join(reload_processes(names or _RELOADED))}")


@app.command()
def demo() -> None:
    """Fill the demo organization of the running stack: 18 months of plausible, seeded history."""
    stack = running_stack()
    fill(stack.api_url, say=console.print)
    console.print(f"sign in as {', '.join(DEMO_USERS)}, password {DEMO_PASSWORD}")


@app.command()
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


@app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def check(
    context: typer.Context, *, everything: Annotated[bool, typer.Option("--all", help="The slow sweeps too.")] = False
) -> None:
    """All linters, types and tests; with arguments, pytest alone with these."""
    raise typer.Exit(run_checks(console, everything=everything, pytest_arguments=context.args))


@app.command()
def screenshots() -> None:
    """Take the README's pictures anew, of the running demo."""
    command = [sys.executable, "-m", "tests.screenshots", "--url", running_stack().dashboards_url]
    raise typer.Exit(subprocess.run(command, cwd=PROJECT, check=False).returncode)


@app.command("accept")
def accept_derived() -> None:
    """Renew what is derived and kept in the tree (schemas, hashes, snapshots), and say what changed."""
    wrong = accept(console.print)
    for problem in wrong:
        _fail(problem)
    raise typer.Exit(1 if wrong else 0)


app.add_typer(new, name="new")
app.add_typer(billing, name="billing")
app.add_typer(score, name="score")
app.add_typer(rules, name="rules")


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Any of: {', '.join(BENCHMARKS)}; all by default. Long: {', '.join(LONG_BENCHMARKS)}."),
    ] = None,
    *,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the results here.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter of the benchmark: `bench soak --set minutes=30`.")
    ] = None,
) -> None:
    """Benchmarks: each prints its figure, its limit measured in the same run, and the ratio."""
    known = [*BENCHMARKS, *LONG_BENCHMARKS]
    if unknown := set(names or []) - set(known):
        raise StackError(f"There is no benchmark {', '.join(sorted(unknown))}. There are: {', '.join(known)}.")
    try:
        run_benchmarks(console, names or list(BENCHMARKS), parameters=read_parameters(given or []), json_file=json_file)
    except UnknownParameterError as error:
        raise StackError(str(error)) from error


app.command("import")(import_command)


@app.command()
def rebuild() -> None:
    """Make the warehouse's raw events anew from PostgreSQL; the refresh then builds and publishes the marts."""
    use_running_stack(unless_named=_URL)
    with bars(console) as advance:
        rebuild_warehouse(_relay_url(), WarehouseSettings(), progress=partial(advance, "events"))


@app.command()
def reconcile(
    *,
    json_output: Annotated[bool, typer.Option("--json")] = False,
    repair: Annotated[bool, typer.Option(help="Put the warehouse's events right; the next refresh follows.")] = False,
) -> None:
    """Compare PostgreSQL with the warehouse's events and published figures; exit 1 on any difference found."""
    use_running_stack(unless_named=_URL)
    report = reconcile_all(_relay_url(), WarehouseSettings(), repair=repair)
    if json_output:
        print(json.dumps(report.as_dict(), indent=2, default=str))
    else:
        console.print(str(report))
    raise typer.Exit(0 if report.is_clean else 1)


@app.command()
def parked(
    *,
    release: Annotated[bool, typer.Option("--release", help="Let them be tried again, in order.")] = False,
    aggregate: Annotated[UUID | None, typer.Option(help="Of this aggregate alone.")] = None,
    json_output: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Events that cannot be published or acted on, with reasons: lists them, or releases them once that is mended."""
    use_running_stack(unless_named=_URL)
    with psycopg.connect(_relay_url(), connect_timeout=5) as connection:
        if release:
            released = release_parked(connection, aggregate)
            console.print(f"{released:,} events go to who parked them again.")
            return
        events = [event for event in list_parked(connection) if aggregate in (None, event.aggregate_id)]
    if json_output:
        print(json.dumps([event._asdict() for event in events], indent=2, default=str))
        return
    for event in events:
        by = "" if event.consumer == "relay" else f" ({event.consumer})"
        console.print(f"{event.aggregate_type} {event.aggregate_id} {event.type} v{event.version}{by}: {event.reason}")
    console.print(f"{len(events):,} events are parked.")


app.command("link")(link_command)
app.add_typer(audit, name="audit")
app.command("migrate")(migrate)
app.command("warehouse")(warehouse_command)
app.command("sql")(sql_command)
app.command("backup")(backup)
app.command("restore")(restore)


def _relay_url() -> str:
    return RelayDatabaseSettings().database_relay_url.get_secret_value()


def _become(process: Process, *arguments: str) -> None:
    command = [sys.executable, "-m", "runtime.serve", process.name, *arguments]
    os.execv(sys.executable, command)  # noqa: S606  # becomes it


def _add_process_verb(process: Process) -> None:
    def run() -> None:
        _become(process)

    def run_some(only: Annotated[list[str] | None, typer.Option(help=process.parts)] = None) -> None:
        _become(process, *(only or ()))

    text = f"{process.does} One process, configured by SLUICE_* variables (.env.example)."
    app.command(process.name, help=text)(run_some if process.parts else run)


for _process in PROCESSES.values():
    _add_process_verb(_process)


def _fail(message: str) -> None:
    errors.print(f"[red]sluice:[/red] {message}", soft_wrap=True)


#: What says in its own words what is wrong and what to do.
_EXPECTED = (
    HomeError,
    StackError,
    DemoError,
    ImportRefusedError,
    BuildBusyError,
    DbtError,
    ProcessError,
    PostgresSetupError,
    RewriteUnderWayError,
    SinkUnavailableError,
    BackupError,
    SkeletonError,
    BillingError,
    ScoringError,
    WarehouseCommandError,
)


#: The command could not do what it was told to. 1 says that it did, and that something is wrong: figures that differ,
#: rows that failed, a check that is red. Wrong options end with 2, too.
_NOT_DONE = 2


def main() -> None:
    """Run the command line; expected failures end in a sentence, not a traceback."""
    threading.current_thread().name = "sluice"
    try:
        app()
    except _EXPECTED as error:
        _fail(str(error))
    except ValidationError as error:
        _fail(f"settings are missing or wrong: {describe_settings(error)}. See .env.example.")
    except SettingsError as error:
        _fail(f"settings cannot be read: {error}. See .env.example.")
    except psycopg.OperationalError as error:
        _fail(f"PostgreSQL cannot be reached: {_first_line(error)}")
    except psycopg.Error as error:
        _fail(f"PostgreSQL refused: {_first_line(error)}")
    except duckdb.Error as error:
        _fail(f"the warehouse cannot be read: {_first_line(error)}")
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    else:
        return
    sys.exit(_NOT_DONE)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
