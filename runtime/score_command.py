"""`./sluice score`: judge anybody's CSV, and look after the models of a running stack."""

import csv
import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.settings import WarehouseSettings
from metrics.reader import open_reader
from models_ml.card import card_of_nothing
from models_ml.columns import Column, columns_of
from models_ml.errors import ScoringError, UnknownColumnError
from models_ml.outcome import OPEN, Outcome, read_outcome
from models_ml.reading import find_column, read_csv
from models_ml.scoring import explain
from models_ml.training import Settings, Trained, features_of, train
from orchestration.scores_client import ScoresClient
from orchestration.scoring import HORIZON_DAYS, SUBJECTS, is_better, learn, read_features
from runtime.stack import known_stack
from runtime.status import use_running_stack

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_SHOWN, _GROUPS = 8, 12


@app.callback()
def scores() -> None:
    """Judge anybody's CSV; train, look at, and take back the model that scores deals."""


@app.command("csv")
def score_csv(
    file: Annotated[Path, typer.Argument(help="A CSV file with a heading: one row per lead or deal.")],
    *,
    target: Annotated[str, typer.Option(help="The column that says what became of each row; empty is still open.")],
    time: Annotated[
        str | None, typer.Option(help="When each row's facts were known: judged by the future then.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
    card: Annotated[Path | None, typer.Option(help="Also write the card here, as JSON.")] = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Write a score and its reasons for each open row (each row, where none is open)."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Use this column although it looks like a leak, an id or a protected trait."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Do not use this column: it came with the outcome, say.")
    ] = None,
) -> None:
    """Train on any labelled CSV, judge the model on rows it never saw, and say whether its scores may be used."""
    allowed, left_out = frozenset(allow or ()), frozenset(without or ())
    try:
        trained, columns, outcome = _judge(file, target, Settings(time=time, allowed=allowed, without=left_out))
    except ScoringError as error:
        if json_output:  # whoever reads the card finds the reason there, too
            print(json.dumps({"file": file.name, **card_of_nothing(str(error))}, indent=2, ensure_ascii=False))
        raise
    shown = {"file": file.name, **trained.card}
    if card:
        card.write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    if json_output:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        print_card(Console(highlight=False), shown)
    if scores:
        _write_scores(scores, trained, columns, outcome)


def _judge(file: Path, target: str, given: Settings) -> tuple[Trained, list[Column], Outcome]:
    """What can be learned from a file; columns are named as people name them."""
    frame = read_csv(file)
    target = find_column(frame, target)
    time = find_column(frame, given.time) if given.time else None
    if time == target:
        raise UnknownColumnError(f"Column {target} cannot be both the target and the time.")
    allowed, left_out = (
        frozenset(find_column(frame, name) for name in names) for names in (given.allowed, given.without)
    )
    outcome, columns = read_outcome(target, frame[target]), columns_of(frame.drop(target))
    return train(columns, outcome, Settings(time=time, allowed=allowed, without=left_out)), columns, outcome


_Of = Annotated[Literal["deal", "contact"], typer.Option("--of", help="What is scored: deals, or contacts (leads).")]
_ApiUrl = Annotated[str | None, typer.Option(envvar="SLUICE_API_URL", help="Default: the stack of this folder.")]
_Token = Annotated[str | None, typer.Option(envvar="SLUICE_TOKEN", help="A key with scores:write, or a token.")]
_Email = Annotated[str | None, typer.Option(help="Who signs in, without a token.")]
_Password = Annotated[str | None, typer.Option(envvar="SLUICE_PASSWORD", help="Asked for when it is needed.")]


@app.command("train")
def train_model(
    *,
    of: _Of = "deal",
    horizon: Annotated[
        int, typer.Option(min=1, max=3650, help="Days within which a deal is to be won, or a lead to convert.")
    ] = HORIZON_DAYS,
    shadow: Annotated[bool, typer.Option("--shadow", help="Keep the model without promoting it.")] = False,
    api_url: _ApiUrl = None,
    token: _Token = None,
    email: _Email = None,
    password: _Password = None,
) -> None:
    """Train on the published warehouse, promote what is no worse than the present model, and score what is open."""
    console, subject = Console(highlight=False), SUBJECTS[of]
    client = _client(api_url, token, email, password)
    with (
        closing(open_reader(WarehouseSettings().warehouse_url.get_secret_value())) as reader,
        reader.session() as session,
    ):
        features, data_version = read_features(session, client.organization_id, subject), str(session.version)
    present = client.present(subject)
    trained = learn(features, subject, horizon_days=horizon)
    kept = client.keep(trained, subject, data_version=data_version, horizon_days=horizon)
    console.print(f"Model {kept['number']} is kept as a shadow.")
    print_card(console, kept["card"])
    if refusal := is_better(trained.card, present):
        console.print(f"Not promoted: {refusal}", markup=False)
    elif not shadow:
        client.promote(kept["id"])
        done = client.write(kept, features, subject)
        console.print(
            f"Promoted. {done['written']:,} {subject.noun}s scored, {done['held_out']:,} in the slice without scores."
        )


@app.command("run")
def run_scores(
    *, of: _Of = "deal", api_url: _ApiUrl = None, token: _Token = None, email: _Email = None, password: _Password = None
) -> None:
    """Score the open deals, or leads, with the promoted model, as they stand in the published warehouse."""
    client, subject = _client(api_url, token, email, password), SUBJECTS[of]
    present = client.present(subject)
    if present is None:
        raise ScoringError("No model is promoted; ./sluice score train makes one.")
    with (
        closing(open_reader(WarehouseSettings().warehouse_url.get_secret_value())) as reader,
        reader.session() as session,
    ):
        features = read_features(session, client.organization_id, subject, is_present=True)
    done = client.write(present, features, subject)
    Console(highlight=False).print(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in done.items()))


@app.command("card")
def show_card(
    *,
    of: _Of = "deal",
    number: Annotated[int | None, typer.Option(help="Number of the model; the promoted one by default.")] = None,
    json_output: Annotated[bool, typer.Option("--json")] = False,
    api_url: _ApiUrl = None,
    token: _Token = None,
    email: _Email = None,
    password: _Password = None,
) -> None:
    """The card of a model."""
    models = _client(api_url, token, email, password).models(SUBJECTS[of])
    wanted = [one for one in models if (one["number"] == number if number else one["state"] == "promoted")]
    if not (wanted or (models and number is None)):
        raise ScoringError("There is no such model; ./sluice score train makes one.")
    model = wanted[0] if wanted else models[0]
    if json_output:
        print(json.dumps(model, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(f"Model {model['number']}, {model['state']}, of {model['created_at']}", markup=False)
    print_card(console, model["card"])


@app.command("rollback")
def roll_back(
    *, of: _Of = "deal", api_url: _ApiUrl = None, token: _Token = None, email: _Email = None, password: _Password = None
) -> None:
    """Bring back the model that was promoted before the present one."""
    client = _client(api_url, token, email, password)
    client.call("POST", f"/v1/scores/rollback?subject={of}")
    present = client.present(SUBJECTS[of])
    Console(highlight=False).print(f"Model {present['number'] if present else 'none'} scores again.")


def _client(api_url: str | None, token: str | None, email: str | None, password: str | None) -> ScoresClient:
    stack = use_running_stack(unless_named="SLUICE_WAREHOUSE_URL") or known_stack()
    url = api_url or stack.api_url
    if token is None:
        email = email or typer.prompt("E-mail")
        password = password or typer.prompt("Password", hide_input=True)
        answer = ScoresClient.at(url, None).call("POST", "/v1/auth/login", {"email": email, "password": password})
        token = str(answer["access_token"])
    return ScoresClient.at(url, token)


def _write_scores(file: Path, trained: Trained, columns: list[Column], outcome: Outcome) -> None:
    """An abstaining model gives none: the file then has its heading alone."""
    rows = np.flatnonzero(outcome.labels == OPEN)
    rows = rows if len(rows) else np.arange(len(outcome.labels))
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["row", "score", "reasons"])
        if trained.model is None or trained.card["verdict"] != "published":
            return
        time = next((column for column in columns if column.name == trained.time), None)
        taken = {name: column.take(pl.Series(rows)) for name, column in features_of(columns, time).items()}
        for row, probability, reasons in zip(
            rows, trained.model.probabilities(taken), explain(trained.model, taken), strict=True
        ):
            writer.writerow([row + 1, f"{probability:.6f}", "; ".join(reason.words for reason in reasons)])


def print_card(console: Console, card: dict[str, Any]) -> None:
    """The card as a page of text."""
    published = card["verdict"] == "published"
    console.print(f"[bold]{'Published' if published else 'Abstains'}[/bold]", style="green" if published else "yellow")
    for reason in card["reasons"]:
        console.print(f"  {reason}", markup=False)
    for name, value in _lines(card):
        console.print(f"{name:<20}{value}", markup=False)
    if card["calibration"]:
        console.print(_curve(card))
        console.print(_list("Moved by", card["top_features"]))
        if card["slices"]:
            console.print(_groups(card))
    for warning in card["warnings"]:
        console.print(f"Note: {warning}", markup=False)


def _lines(card: dict[str, Any]) -> list[tuple[str, str]]:
    rows, window, target = card["rows"], card["window"], card["target"]
    lines = [
        ("Outcome", f"{target['column']}: {target['won']} against {target['lost']}"),
        ("Rows", f"{rows['won']:,} won, {rows['lost']:,} lost, {rows['open']:,} open; judged by {rows['test']:,}"),
        (
            "Split",
            window["split"]
            + (f", {window['from']} to {window['to']}, judged from {window['test_from']}" if window["column"] else ""),
        ),
        ("Model", card["model"]["name"] or "none"),
    ]
    if card["auc"] is not None:
        lines += [
            ("AUC", f"{card['auc']:.3f}  ({card['auc_interval'][0]:.3f} to {card['auc_interval'][1]:.3f})"),
            (
                "Average precision",
                f"{card['average_precision']:.3f}  (chance {card['average_precision_reference']:.3f})",
            ),
            ("Brier", f"{card['brier']:.4f}  (base rate {card['brier_reference']:.4f})"),
            ("Calibration slope", f"{card['calibration']['slope']:.2f}"),
            ("Lift, best tenth", f"{card['lift'][0]['lift']:.1f}"),
            ("Drift of scores", f"{card['drift']['score']:.3f} (PSI)"),
        ]
    if card["duplicates"]:
        lines.append(("Duplicates", f"{card['duplicates']:,} rows repeat another one and were left out"))
    return lines + [("Left out", reason) for reason in card["left_out"].values()]


def _curve(card: dict[str, Any]) -> Table:
    table = Table("tenth", "rows", "forecast", "won", title="Calibration", title_justify="left")
    for number, part in enumerate(card["calibration"]["curve"], 1):
        table.add_row(str(number), f"{part['rows']:,}", f"{part['forecast']:.1%}", f"{part['won']:.1%}")
    return table


def _groups(card: dict[str, Any]) -> Table:
    table = Table("group", "rows", "forecast", "won", title="Does it hold everywhere?", title_justify="left")
    for part in card["slices"][:_GROUPS]:
        group = Text(f"{part['column']}: {'none' if part['value'] is None else part['value']}")
        table.add_row(group, f"{part['rows']:,}", f"{part['forecast']:.1%}", f"{part['won']:.1%}")
    return table


def _list(title: str, features: list[dict[str, Any]]) -> str:
    return f"{title:<20}" + ", ".join(f"{feature['column']} ({feature['moves']:.2f})" for feature in features[:_SHOWN])
