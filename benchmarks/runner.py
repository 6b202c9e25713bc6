"""Runs benchmarks by name and prints or writes their results."""

import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

#: Each is a module of `benchmarks` with `run(**parameters)`, which answers a BenchmarkResult or a list of them: each
#: parameter is a number with a default.
BENCHMARKS = (
    "writes",
    "reads",
    "relay",
    "loader",
    "refresh",
    "freshness",
    "funnel",
    "latency",
    "outage",
    "rebuild",
    "restore",
    "rules",
    "scoring",
    "search",
)

#: Run by name only: these take long.
LONG_BENCHMARKS = ("soak",)


class UnknownParameterError(ValueError):
    """A benchmark has no such parameter: says which ones it has."""


def read_parameters(texts: Sequence[str]) -> dict[str, float]:
    """`minutes=30` as a number by its name.

    Raises:
        UnknownParameterError: not of this form.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number) if "." in number else int(number)
        except ValueError:
            raise UnknownParameterError(f"{text!r} is not of the form name=number") from None
    return found


def run_benchmarks(
    console: Console, names: Sequence[str], *, parameters: Mapping[str, float], json_file: Path | None
) -> None:
    """Run benchmarks one after the other, each in a state of its own and with its usual parameters but the given ones.

    Raises:
        UnknownParameterError: one of the benchmarks has no parameter of that name.
    """
    runs = {name: importlib.import_module(f"benchmarks.{name}").run for name in names}
    for name, run in runs.items():
        has = inspect.signature(run).parameters
        if unknown := set(parameters) - set(has):
            raise UnknownParameterError(f"{name} has no parameter {', '.join(unknown)}. It has: {', '.join(has)}.")
    results = []
    for name, run in runs.items():
        console.print(f"[bold]{name}[/bold]")
        found = run(**parameters)
        for result in found if isinstance(found, list) else [found]:
            console.print(str(result))
            results.append(result.to_dict())
    if json_file:
        json_file.write_text(json.dumps(results, indent=2, default=str) + "\n")
