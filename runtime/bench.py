"""Runs benchmarks by name and prints or writes their results."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

#: Each is a module of `benchmarks` with `run() -> BenchmarkResult`.
BENCHMARKS = ("writes", "relay", "loader", "refresh", "freshness", "funnel", "rebuild")


def run_benchmarks(console: Console, names: Sequence[str], *, json_file: Path | None) -> None:
    """Run benchmarks one after the other, each in a state of its own."""
    results = []
    for name in names:
        console.print(f"[bold]{name}[/bold]")
        result = importlib.import_module(f"benchmarks.{name}").run()
        console.print(str(result))
        results.append(result.to_dict())
    if json_file:
        json_file.write_text(json.dumps(results, indent=2, default=str) + "\n")
