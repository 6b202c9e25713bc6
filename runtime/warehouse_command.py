"""`sluice warehouse`, a shell on the published version, and `sluice sql`, the statements behind a metric's figures.

Both read what people see, never what dbt is writing: that file is one process's alone.
"""

import csv
import readline  # noqa: F401  # lines can be edited and called back
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import duckdb
import psycopg
import typer
from psycopg import sql
from rich.console import Console
from rich.table import Table

from contracts.settings import WarehouseSettings
from contracts.warehouse import PUBLISHED_SCHEMA, Mart, duckdb_folder
from metrics.errors import (
    ParameterError,
    UnknownMetricError,
    UnknownPipelineError,
    VersionError,
    WarehouseNotReadyError,
)
from metrics.explain import explain, with_literals
from metrics.parameters import read
from metrics.publication import (
    PublishedFolder,
    PublishedVersion,
    parse_version,
    read_postgres_kept,
    schema_of,
)
from metrics.reader import open_reader
from metrics.registry import Definition, definition_of, definitions
from metrics.viewer import Viewer
from runtime.status import use_running_stack
from runtime.warehouse_export import export_command

console = Console(highlight=False)

_URL = "SLUICE_WAREHOUSE_URL"
_MOST_ROWS = 200


class WarehouseCommandError(RuntimeError):
    """What was asked cannot be answered: says why."""


class _Result(NamedTuple):
    """What a statement answered."""

    columns: Sequence[str]
    rows: Iterator[tuple[Any, ...]]


_Run = Callable[[str], Iterator[_Result]]


app = typer.Typer(invoke_without_command=True)
app.command("export")(export_command)


@app.callback()
def warehouse_command(
    context: typer.Context,
    statement: Annotated[str | None, typer.Option("-c", "--command", help="Run this and end.")] = None,
    *,
    version: Annotated[
        str | None, typer.Option(help="A kept version of the figures; `sluice warehouse versions` lists them.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="All rows as CSV, not a table of the first ones.")] = False,
) -> None:
    """Ask the published marts in SQL: a shell, or -c, or statements from standard input. Nothing can be changed."""
    if context.invoked_subcommand is not None:
        return
    url = _warehouse_url()
    show = _write_csv if as_csv else _print_table
    with _opened(url, version) as (name, run):
        if statement is not None or not sys.stdin.isatty():
            for result in run(statement if statement is not None else sys.stdin.read()):
                show(result)
            return
        console.print(f"Version {name}, read-only. Marts: {', '.join(mart.value for mart in Mart)}.")
        console.print("Statements end with a semicolon; Ctrl-D ends the shell.")
        for text in _typed():
            try:
                for result in run(text):
                    show(result)
            except (duckdb.Error, psycopg.Error) as error:
                console.print(str(error).strip(), style="red", markup=False)


@app.command("versions")
def versions_command() -> None:
    """List the versions of the figures that can be asked by name, the newest first."""
    with closing(open_reader(_warehouse_url())) as reader:
        for number, kept in enumerate(reader.kept()):
            checks = (kept.record or {}).get("checks") or {}
            stood = ", ".join(f"{count} {state}" for state, count in sorted(checks.items())) or "none noted"
            when = "current" if number == 0 else f"until {kept.version.published_at:%Y-%m-%d}"
            print(f"{kept.version.version}  {when}  checks: {stood}")


def sql_command(
    metric: Annotated[str, typer.Argument(help="A metric's name.")],
    given: Annotated[list[str] | None, typer.Argument(help="Its parameters: from=2026-01-01 group_by=owner …")] = None,
    *,
    organization: Annotated[UUID | None, typer.Option(help="Needed where the warehouse holds several.")] = None,
    warehouse_version: Annotated[str | None, typer.Option(help="Ask a kept version of the figures.")] = None,
    literal: Annotated[bool, typer.Option("--literal", help="Values in their places, to paste elsewhere.")] = False,
) -> None:
    """Show the SQL of a metric as it runs now, with its parameters, over all records of an organization."""
    definition, parameters = _question(metric, given or [])
    url = _warehouse_url()
    with closing(open_reader(url)) as whole:
        viewer = Viewer(organization_id=organization or _only_organization(url))
        try:
            named = _parse(warehouse_version) if warehouse_version else None
            reader = whole.at(named) if named else whole
            now = named.published_at if named else datetime.now(UTC)
            found = explain(reader, definition, parameters, viewer=viewer, now=now)
        except UnknownPipelineError as error:
            raise WarehouseCommandError("This organization has no such pipeline.") from error
        except (ParameterError, VersionError, WarehouseNotReadyError) as error:
            raise WarehouseCommandError(str(error)) from error
    print(f"-- {metric} version {definition.version}, {definition.definition}")
    print(f"-- warehouse version {found.answer.warehouse_version}, as of {found.answer.as_of.isoformat()}")
    for number, statement in enumerate(found.statements, start=1):
        print(f"\n-- statement {number} of {len(found.statements)}")
        print(with_literals(statement, found.dialect) if literal else statement.sql, end=";\n")
        if not literal:
            for name, value in statement.values.items():
                print(f"-- {found.dialect.bound(name)} = {value}")


def _warehouse_url() -> str:
    use_running_stack(unless_named=_URL)
    return WarehouseSettings().warehouse_url.get_secret_value()


def _question(metric: str, given: Sequence[str]) -> tuple[Definition, Any]:
    pairs = dict(one.partition("=")[::2] for one in given)
    if wrong := [one for one in given if "=" not in one]:
        raise WarehouseCommandError(f"{wrong[0]!r} should have the form name=value.")
    version = pairs.pop("version", None)
    try:
        definition = definition_of(metric, int(version) if version else None)
        return definition, read(definition, pairs)
    except UnknownMetricError:
        raise WarehouseCommandError(f"There is no metric {metric}; there are {', '.join(definitions())}.") from None
    except (ParameterError, ValueError) as error:
        raise WarehouseCommandError(str(error)) from error


def _only_organization(url: str) -> UUID:
    with _opened(url) as (_, run):
        (found,) = run(f"select distinct organization_id from {Mart.DIM_ORGANIZATIONS.value} order by 1")
        ids = [UUID(str(row[0])) for row in found.rows]
    if len(ids) != 1:
        raise WarehouseCommandError(f"Say whose figures: --organization ID. There are {', '.join(map(str, ids))}.")
    return ids[0]


def _parse(version: str) -> PublishedVersion:
    try:
        return parse_version(version)
    except ValueError as error:
        raise WarehouseCommandError(f"{error}; `sluice warehouse versions` lists them.") from error


_NOT_KEPT = "This version of the figures is not kept; `sluice warehouse versions` lists those that are."


@contextmanager
def _opened(url: str, asked: str | None = None) -> Iterator[tuple[str, _Run]]:
    """The name of the published version, or of the kept one that is asked, and what runs statements on it."""
    folder, named = duckdb_folder(url), _parse(asked) if asked else None
    if folder is None:
        with psycopg.connect(url, options="-c TimeZone=UTC") as server:
            server.read_only = True
            row = server.execute(f"select version from {PUBLISHED_SCHEMA}.current_version").fetchone()
            version = named or (parse_version(row[0]) if row else None)
            schema = PUBLISHED_SCHEMA
            if row and named and named.version != row[0]:
                if named not in read_postgres_kept(server):
                    raise WarehouseCommandError(_NOT_KEPT)
                schema = schema_of(named)
            server.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
            server.commit()
            yield version.version if version else "none", lambda text: _run_on_postgres(server, text)
        return
    published = PublishedFolder(folder)
    version = named or published.current()
    if version is None:
        raise WarehouseCommandError("No version of the warehouse has been published yet.")
    place = published.find(version)
    if place is None:
        raise WarehouseCommandError(_NOT_KEPT)
    settings: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": "false"}
    with (
        place.hold(version),
        duckdb.connect(place.path_of(version), read_only=True, config=settings) as file,
    ):
        yield version.version, lambda text: _run_on_duckdb(file, text)


def _run_on_duckdb(file: duckdb.DuckDBPyConnection, text: str) -> Iterator[_Result]:
    for statement in duckdb.extract_statements(text):
        done = file.execute(statement)
        if done.description:
            yield _Result([column[0] for column in done.description], iter(done.fetchone, None))


def _run_on_postgres(server: psycopg.Connection[Any], text: str) -> Iterator[_Result]:
    with server.transaction(), server.cursor() as cursor:
        cursor.execute(text.encode())
        while True:
            if cursor.description:
                yield _Result([column.name for column in cursor.description], iter(cursor.fetchone, None))
            if not cursor.nextset():
                return


def _typed() -> Iterator[str]:
    """Statements that a person types, each as soon as its semicolon is there."""
    lines: list[str] = []
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            lines.append(input("   ... " if lines else "sluice> "))
            if lines[-1].rstrip().endswith(";"):
                yield "\n".join(lines)
                lines.clear()


def _print_table(result: _Result) -> None:
    table = Table(*result.columns)
    shown = 0
    for shown, row in enumerate(result.rows, start=1):
        if shown > _MOST_ROWS:
            break
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table, markup=False)
    if shown > _MOST_ROWS:
        console.print(f"the first {_MOST_ROWS} rows; --csv writes all")


def _write_csv(result: _Result) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(result.columns)
    writer.writerows(result.rows)
