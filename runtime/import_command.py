"""`sluice import`: files go to the API, a bar shows how far they are, failed rows come back as a file.

Ends with code 0 when every row is in, 1 when rows (or the whole import) failed, 2 when nothing could be started.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from api.imports.custom_columns import PREFIX
from api.imports.headings import Meaning, stands_in
from api.imports.options import ImportOptions
from api.imports.presets import GENERIC, Entity, entity_of_name
from api.imports.problems import FileProblem
from api.imports.source import open_source
from api.imports.workbooks import WORKBOOKS, turn_into_text
from contracts.calls.schemas import ImportRead
from runtime.bars import bars
from runtime.import_client import ImportClient, ImportFile, ImportRefusedError
from runtime.stack import StackError
from runtime.status import running_stack

_OUTCOMES = ("created", "updated", "unchanged", "failed")
_ROW_FAILED, _NOT_STARTED, _LEFT = 1, 2, 130
_SHOWN_PROBLEMS = 10


def import_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files (CSV, Excel, Parquet) named after what their rows are: deals.csv."),
    ] = None,
    *,
    preset: Annotated[str, typer.Option(help="Whose headings: generic, hubspot, salesforce, pipedrive.")] = "generic",
    entity: Annotated[
        list[str] | None, typer.Option(help=f"ENTITY=FILE; entities: {', '.join(one.value for one in Entity)}.")
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="HEADING=COLUMN or ENTITY.HEADING=COLUMN; an empty column leaves the heading out."),
    ] = None,
    create_missing: Annotated[
        bool, typer.Option("--create-missing", help="Create stages, users, companies and so on that rows name.")
    ] = False,
    pipeline: Annotated[str | None, typer.Option(help="Pipeline of deals whose row names none.")] = None,
    stage_kind: Annotated[
        list[str] | None, typer.Option(help="STAGE=open|won|lost: kind of a stage that the import creates.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Currency of amounts whose row names none.")] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="Is 03/04/2025 the third of April? [the cells say]")
    ] = None,
    decimal_comma: Annotated[
        bool | None, typer.Option("--decimal-comma/--decimal-point", help="Is 1.234,56 an amount? [the cells say]")
    ] = None,
    delimiter: Annotated[str, typer.Option(help="auto , ; tab |")] = "auto",
    encoding: Annotated[str, typer.Option(help="auto, utf-8, cp1252, cp1251, utf-16, …")] = "auto",
    preview: Annotated[bool, typer.Option("--preview", help="Show what would happen; write nothing.")] = False,
    api_url: Annotated[
        str | None, typer.Option(envvar="SLUICE_API_URL", help="Default: the stack of this folder.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Who signs in.")] = None,
    password: Annotated[str | None, typer.Option(envvar="SLUICE_PASSWORD", help="Asked for when it is needed.")] = None,
    token: Annotated[str | None, typer.Option(envvar="SLUICE_TOKEN", help="An access token instead.")] = None,
) -> None:
    """Import files of deals, stage history, pipelines, users, companies or contacts."""
    console = Console(highlight=False)
    try:
        chosen = choose_files(files or [], entity or [])
        options = {
            "preset": preset,
            "map": read_map(mapping or [], chosen, preset=preset, encoding=encoding, delimiter=delimiter),
            "create_missing": create_missing,
            "pipeline": pipeline,
            "stage_kinds": dict(_pair(one, "--stage-kind STAGE=KIND") for one in stage_kind or []),
            "currency": currency,
            "day_first": day_first,
            "decimal_comma": decimal_comma,
            "delimiter": delimiter,
            "encoding": encoding,
            "preview": preview,
        }
        url = api_url or _own_stack()
        if token is None:
            email = email or typer.prompt("E-mail")
            password = password or typer.prompt("Password", hide_input=True)
        with ImportClient(url, token=token, email=email or "", password=password or "") as client:
            code = import_files(client, chosen, options=options, console=console)
    except (ImportRefusedError, FileProblem, OSError) as error:
        console.print(f"[red]{error}[/red]", markup=True)
        raise typer.Exit(_NOT_STARTED) from error
    raise typer.Exit(code)


def _own_stack() -> str:
    """The API of the stack that runs in this folder, wherever it listens.

    Raises:
        ImportRefusedError: none runs; whatever else answers somewhere is not meant.
    """
    try:
        return running_stack().api_url
    except StackError as error:
        raise ImportRefusedError(f"{error} Or name an API: --api-url https://crm.example.com") from error


def choose_files(files: Sequence[Path], entities: Sequence[str]) -> list[ImportFile]:
    """Files by their own names, and those given as ENTITY=FILE.

    Raises:
        ImportRefusedError: there is none, or it is not clear what the rows of one are.
    """
    chosen = [ImportFile(path) for path in files]
    for text in entities:
        entity, path = _pair(text, "--entity ENTITY=FILE")
        if entity not in list(Entity):
            raise ImportRefusedError(f"There is no entity {entity!r}; there are {', '.join(Entity)}.")
        chosen.append(ImportFile(Path(path), entity))
    unclear = [file.path for file in chosen if _entity(file) is None]
    if unclear:
        raise ImportRefusedError(f"What are the rows of {unclear[0]}? Say it with --entity deals={unclear[0]}.")
    if not chosen:
        raise ImportRefusedError("Which files? For example: sluice import deals.csv companies.csv")
    return chosen


def read_map(
    maps: Sequence[str], files: Sequence[ImportFile], *, preset: str, encoding: str, delimiter: str
) -> dict[str, dict[str, str]]:
    """The map per entity. HEADING=COLUMN without an entity goes to every file that has both.

    Raises:
        ImportRefusedError: no file has such a heading and column.
        FileProblem: a file cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    if not maps:
        return found
    try:
        options = ImportOptions.model_validate({"preset": preset, "encoding": encoding, "delimiter": delimiter})
    except ValidationError as error:
        raise ImportRefusedError(error.errors()[0]["msg"]) from error
    headings = {file: _headings(file, options) for file in files}
    for text in maps:
        heading, column = _pair(text, "--map HEADING=COLUMN")
        prefix, _, rest = heading.partition(".")
        if prefix in list(Entity) and rest:
            found.setdefault(prefix, {})[rest] = column
            continue
        fitting = [
            entity
            for file in files
            if (entity := _entity(file))
            and stands_in(heading, headings[file])
            and (not column or column.startswith(PREFIX) or column in GENERIC[entity])
        ]
        if not fitting:
            raise ImportRefusedError(f"No file has the heading {heading!r} and can have the column {column!r}.")
        for entity in fitting:
            found.setdefault(entity.value, {})[heading] = column
    return found


def _headings(file: ImportFile, options: ImportOptions) -> Sequence[str]:
    entity = _entity(file)
    recognise = Meaning(entity, options.preset).recognise if entity else lambda _: 0
    with tempfile.TemporaryDirectory() as folder:
        path = file.path
        if path.suffix.lower() in WORKBOOKS:
            path = Path(shutil.copyfile(path, Path(folder) / "text"))
            turn_into_text(file.path.name, path)
        return open_source(file.path.name, path, options=options, recognise=recognise).headings


def import_files(
    client: ImportClient, files: Sequence[ImportFile], *, options: Mapping[str, Any], console: Console
) -> int:
    """Import, show progress and the outcome; answers the exit code.

    Raises:
        ImportRefusedError: the API refuses the files or does not answer.
    """
    started = client.start(files, options)
    if options.get("preview"):
        return _show_preview(started, console)
    with bars(console) as advance:

        def show(found: ImportRead) -> None:
            for entity, figures in found["progress"].items():
                advance(entity.replace("_", " "), figures["done"], figures["total"])

        try:
            done = client.follow(started["id"], watch=show)
        except KeyboardInterrupt:
            console.print(
                f"\nThe import goes on without this command: GET /v1/imports/{started['id']} says how far it is."
                " The same files may be imported again at any time; no row counts twice.",
                markup=False,
            )
            raise typer.Exit(_LEFT) from None
    _show_outcomes(done, console)
    for warning in done["warnings"]:
        console.print(f"note: {warning}", markup=False)
    if done["state"] == "failed":
        console.print(f"The import failed: {done['error']}", style="red", markup=False)
        return _ROW_FAILED
    if done["counts"]["failed"]:
        target = Path(f"sluice-import-{done['id']}-errors.csv").absolute()
        client.save_errors(done["id"], target)
        console.print(
            f"{done['counts']['failed']} rows failed. They are in {target}: mend them there, import it again."
        )
        return _ROW_FAILED
    return 0


def _show_outcomes(done: ImportRead, console: Console) -> None:
    table = Table("rows of", *_OUTCOMES, "in all")
    for entity, progress in done["progress"].items():
        figures = cast("Mapping[str, int]", progress)
        table.add_row(
            entity.replace("_", " "), *(f"{figures[outcome]:,}" for outcome in _OUTCOMES), f"{figures['total']:,}"
        )
    console.print(table)


def _show_preview(found: dict[str, Any], console: Console) -> int:
    for file in found["files"]:
        columns = ", ".join(file["columns"])
        console.print(f"{file['name']}: {file['entity']}, {file['rows_read']} rows; columns {columns}", markup=False)
        for guess in file["guesses"]:
            console.print(f"note: {guess}", markup=False)
    for kind, names in found["would_create"].items():
        console.print(f"would create {len(names)} {kind}: {', '.join(names[:_SHOWN_PROBLEMS])}", markup=False)
    for entity, figures in found["counts"].items():
        console.print(f"{entity}: {', '.join(f'{figures[outcome]} {outcome}' for outcome in _OUTCOMES)}")
    for warning in found["warnings"]:
        console.print(f"note: {warning}", markup=False)
    for one in found["problems"][:_SHOWN_PROBLEMS]:
        where = f"{one['file']} row {one['row']} {one['field']}"
        console.print(f"{where} {one['value']!r}: {one['problem']} {one['fix']}", markup=False)
    console.print("Nothing was written.")
    return _ROW_FAILED if found["problem_count"] else 0


def _entity(file: ImportFile) -> Entity | None:
    return Entity(file.entity) if file.entity is not None else entity_of_name(file.path.name)


def _pair(text: str, form: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ImportRefusedError(f"{text!r} should have the form {form}.")
    return name.strip(), value.strip()
