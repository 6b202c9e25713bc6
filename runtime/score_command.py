"""`./sluice score`: judge anybody's CSV, and look after the models of a running stack."""

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from models_ml.columns import Column, columns_of
from models_ml.errors import UnknownColumnError
from models_ml.outcome import OPEN, Outcome, read_outcome
from models_ml.reading import find_column, read_csv
from models_ml.scoring import explain
from models_ml.training import Settings, Trained, features_of, train

app = typer.Typer(no_args_is_help=True)

_SHOWN = 8


@app.callback()
def scores() -> None:
    """Scores: judge anybody's CSV, honestly."""


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
) -> None:
    """Train on any labelled CSV, judge the model on rows it never saw, and say whether its scores may be used."""
    console = Console(highlight=False)
    frame = read_csv(file)
    target = find_column(frame, target)
    time = find_column(frame, time) if time else None
    if time == target:
        raise UnknownColumnError(f"Column {target} cannot be both the target and the time.")
    outcome, columns = read_outcome(target, frame[target]), columns_of(frame.drop(target))
    allowed = frozenset(find_column(frame, name) for name in allow or [])
    trained = train(columns, outcome, Settings(time=time, allowed=allowed))
    shown = {"file": file.name, **trained.card}
    if card:
        card.write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    if json_output:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        print_card(console, shown)
    if scores:
        _write_scores(scores, trained, columns, outcome)


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


def _list(title: str, features: list[dict[str, Any]]) -> str:
    return f"{title:<20}" + ", ".join(f"{feature['column']} ({feature['moves']:.2f})" for feature in features[:_SHOWN])
