"""`./sluice rules`: check a rule's document without a stack, and replay it over the past of a running one."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.kernel.errors import CrmError
from api.rules import conditions
from api.rules.document import Document
from contracts.calls import schemas
from contracts.calls.rules import replay_rule
from runtime.import_client import ImportClient, ImportRefusedError
from runtime.stack import StackError
from runtime.status import running_stack

app = typer.Typer(no_args_is_help=True)

_SHOWN = 20
_UNSOUND, _NOT_ASKED = 1, 2

File = Annotated[Path, typer.Argument(help="A rule's document, as JSON or YAML.")]


@app.callback()
def rules() -> None:
    """Rules: check them, replay them."""


@app.command()
def lint(file: File) -> None:
    """Check a document: triggers, actions and what the condition names. Ends with 1 where something is wrong."""
    console = Console(highlight=False)
    document = _read(file)
    try:
        conditions.check(Document.model_validate(document), now=datetime.now(UTC))
    except ValidationError as error:
        for problem in error.errors():
            console.print(f"{file}: {'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg']}", markup=False)
        raise typer.Exit(_UNSOUND) from error
    except CrmError as error:
        console.print(f"{file}: when: {error}", markup=False)
        raise typer.Exit(_UNSOUND) from error
    console.print(f"{file}: sound.", markup=False)


@app.command()
def backtest(
    file: File,
    *,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far back.")] = 90,
    above: Annotated[float | None, typer.Option(help="Another threshold for a rule that waits for a score.")] = None,
    json_output: Annotated[bool, typer.Option("--json")] = False,
    api_url: Annotated[
        str | None, typer.Option(envvar="SLUICE_API_URL", help="Default: the stack of this folder.")
    ] = None,
    email: Annotated[str, typer.Option(help="Who signs in.")] = "",
    password: Annotated[str, typer.Option(envvar="SLUICE_PASSWORD")] = "",
    token: Annotated[str | None, typer.Option(envvar="SLUICE_TOKEN", help="An access token instead.")] = None,
) -> None:
    """Replay a document over the past: when it would have fired, and what became of those deals. Writes nothing."""
    console, now = Console(highlight=False), datetime.now(UTC)
    body: schemas.BacktestAsk = {
        "document": cast("schemas.Document", _read(file)), "above": above,
        "begins": (now - timedelta(days=days)).isoformat(), "ends": now.isoformat(),
    }  # fmt: skip
    try:
        url = api_url or running_stack().api_url
        with ImportClient(url, token=token, email=email, password=password) as client:
            answer = client.ask(replay_rule(body))
    except (ImportRefusedError, StackError) as error:
        console.print(str(error), markup=False)
        raise typer.Exit(_NOT_ASKED) from error
    if json_output:
        print(json.dumps(answer, indent=2))
        return
    _show(console, answer)


def _show(console: Console, answer: schemas.BacktestRead) -> None:
    console.print(
        f"{answer['fired']:,} firings on {answer['records']:,} records: {answer['won']:,} won, {answer['lost']:,} lost,"
        f" {answer['open']:,} open by now. Of the others {answer['others_won']:,} won, {answer['others_lost']:,} lost."
    )
    table = Table("when", "record", "now", "people did next")
    for one in answer["firings"][:_SHOWN]:
        record = Text(one["subject_title"] or one["subject_id"])
        table.add_row(one["at"][:19], record, one["status_now"] or "–", one["next_by_people"] or "–")
    if answer["firings"]:
        console.print(table)
        console.print(f"{min(_SHOWN, answer['fired']):,} of {answer['fired']:,} shown; --json has more.")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file} holds no document: it must be an object with a trigger and actions")
    return found
