"""Runs benchmarks by name and prints or writes their results."""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from benchmarks.result import BenchmarkResult

#: Each is a module of `benchmarks` with `run(**parameters)`, which answers a BenchmarkResult or a list of them: each
#: parameter has a default.
BENCHMARKS = (
    "writes",
    "reads",
    "drafts",
    "relay",
    "loader",
    "refresh",
    "freshness",
    "funnel",
    "asked_again",
    "inbox",
    "latency",
    "live",
    "outage",
    "rebuild",
    "restore",
    "backtest",
    "rules",
    "scoring",
    "search",
    "imports",
    "exports",
    "board",
)

#: Run by name only: these take long.
LONG_BENCHMARKS = ("soak",)


class WrongParameterError(ValueError):
    """A benchmark does not take this: says what it takes."""


def read_parameters(texts: Sequence[str]) -> dict[str, str]:
    """`minutes=30` as a text by its name.

    Raises:
        WrongParameterError: not of this form.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, is_given, value = text.partition("=")
        if not is_given:
            raise WrongParameterError(f"{text!r} is not of the form name=value")
        found[name] = value
    return found


def run_benchmarks(
    console: Console, names: Sequence[str], *, parameters: Mapping[str, str], json_file: Path | None
) -> None:
    """Run benchmarks one after the other, each in a state of its own and with its usual parameters but the given ones.

    Raises:
        WrongParameterError: one of the benchmarks has no parameter of that name, or of another kind.
    """
    runs = {name: _with_parameters(name, parameters) for name in names}
    results = []
    for name, run in runs.items():
        console.print(f"[bold]{name}[/bold]")
        found = run()
        for result in found if isinstance(found, list) else [found]:
            console.print(str(result))
            results.append(result.to_dict())
    if json_file:
        json_file.write_text(json.dumps(results, indent=2, default=str) + "\n")


def _with_parameters(name: str, given: Mapping[str, str]) -> Callable[[], BenchmarkResult | list[BenchmarkResult]]:
    run = importlib.import_module(f"benchmarks.{name}").run
    has = inspect.signature(run).parameters
    if unknown := set(given) - set(has):
        raise WrongParameterError(f"{name} has no parameter {', '.join(unknown)}. It has: {', '.join(has)}.")
    try:
        values = {one: TypeAdapter(has[one].annotation).validate_python(text) for one, text in given.items()}
    except ValidationError as error:
        raise WrongParameterError(f"{name} cannot be run with {dict(given)}: {error.errors()[0]['msg']}") from error
    return partial(run, **values)
