"""The command line: each verb is a few lines over the module that does it."""

import importlib
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import psycopg
import typer
from rich.console import Console

from benchmarks.runner import BENCHMARKS, LONG_BENCHMARKS, WrongParameterError, read_parameters, run_benchmarks
from contracts.settings import RelayDatabaseSettings, WarehouseSettings
from ingest.event_log import RewriteUnderWayError
from ingest.outbox import list_parked, release_parked
from ingest.rebuild import rebuild as rebuild_warehouse
from ingest.sinks.interface import SinkUnavailableError
from models_ml.errors import ScoringError
from orchestration.build.dbt import DbtError
from orchestration.build.lock import BuildBusyError
from orchestration.build.suites import SuiteError
from orchestration.reconciliation import reconcile_all
from runtime.accept import accept
from runtime.access_command import audit, deletions_command, link_command, secret_key
from runtime.backup.command import backup, restore
from runtime.backup.server import BackupError
from runtime.bars import bars
from runtime.billing_command import BillingError
from runtime.billing_command import app as billing
from runtime.checks import run_checks
from runtime.demo import DEMO_PASSWORD, DEMO_USERS, DemoError, fill
from runtime.docs_command import data_docs_command, dbt_docs_command
from runtime.embedded.postgres import PostgresSetupError
from runtime.ending import run, say_what_failed
from runtime.home import PROJECT, HomeError
from runtime.import_client import ImportRefusedError
from runtime.import_command import import_command
from runtime.metrics_command import MetricsCommandError
from runtime.metrics_command import app as metric_commands
from runtime.migrate import migrate
from runtime.new import SkeletonError
from runtime.new import app as new
from runtime.process import ProcessError
from runtime.processes import PROCESSES, Process
from runtime.rules_command import app as rules
from runtime.stack import StackError
from runtime.status import running_stack, use_running_stack
from runtime.status_command import down, reload_code, status
from runtime.up import up
from runtime.warehouse_command import WarehouseCommandError, sql_command
from runtime.warehouse_command import app as warehouse
from runtime.warehouse_export import ExportError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Sluice.")
console = Console(highlight=False)

_URL = "SLUICE_DATABASE_RELAY_URL"

app.command()(up)


app.command()(down)
app.command("reload")(reload_code)
app.command()(status)


@app.command()
def demo() -> None:
    """Fill the demo organization of the running stack: 18 months of plausible, seeded history."""
    stack = running_stack()
    fill(stack.api_url, say=console.print, database_url=stack.database_url)
    console.print(f"sign in as {', '.join(DEMO_USERS)}, password {DEMO_PASSWORD}")


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
        say_what_failed(problem)
    raise typer.Exit(1 if wrong else 0)


app.add_typer(new, name="new")
app.add_typer(billing, name="billing")
app.add_typer(rules, name="rules")


@app.command(
    "score", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def score(context: typer.Context) -> None:
    """Judge anybody's CSV; train, look at, and take back the model that scores deals."""
    # scikit-learn takes as long to import as all the rest, and no other verb wants it
    verbs = importlib.import_module("runtime.score_command").app
    code = verbs(context.args, prog_name=context.command_path, standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)


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
    # whoever ends it means the servers that it has started, too
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        run_benchmarks(console, names or list(BENCHMARKS), parameters=read_parameters(given or []), json_file=json_file)
    except WrongParameterError as error:
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
app.command("deletions")(deletions_command)
app.add_typer(audit, name="audit")
app.add_typer(secret_key, name="secret-key")
app.command("migrate")(migrate)
app.add_typer(warehouse, name="warehouse")
app.add_typer(metric_commands, name="metrics")
app.command("sql")(sql_command)
app.command("dbt-docs")(dbt_docs_command)
app.command("data-docs")(data_docs_command)
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
    MetricsCommandError,
    WarehouseCommandError,
    SuiteError,
    ExportError,
)


def main() -> None:
    """Run the command line."""
    run(app, expected=_EXPECTED)
