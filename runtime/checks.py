"""What `./sluice test` runs: the linters, the types, the import arrows, then the tests. One list, for people and CI."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from runtime.home import PROJECT


@dataclass(frozen=True)
class Check:
    """One command of the list."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def _tool(name: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / name), *arguments]


def static_checks() -> list[Check]:
    """Checks that start no server."""
    return [
        Check("format", _tool("ruff", "format", "--check", "--quiet", ".")),
        Check("lint", _tool("ruff", "check", "--quiet", ".")),
        Check("import arrows", _tool("lint-imports")),
        Check("types", _tool("mypy")),
        Check(
            "SQL style",
            _tool("sqlfluff", "lint", "--processes", "2", "dbt_project/models"),
            # rendered against an empty database outside the tree
            env={"SLUICE_DBT_DUCKDB_PATH": ":memory:", "SLUICE_DBT_RAW_EVENTS_PATH": ""},
        ),
        Check(
            "compose file", _tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
        ),
        Check("Dockerfile", _tool("hadolint", "Dockerfile")),
        Check("contract files", [sys.executable, "-m", "contracts.generate", "--check"]),
    ]


def run_checks(console: Console, *, everything: bool, pytest_arguments: Sequence[str]) -> int:
    """Run all checks, go on after a failure, and say at the end what failed. Returns an exit code."""
    marks = [] if everything else ["-m", "not slow"]
    tests = Check("tests", [sys.executable, "-m", "pytest", *marks, *pytest_arguments])
    checks = [tests] if pytest_arguments else [*static_checks(), tests]
    failed = []
    for check in checks:
        console.print(f"[bold]{check.name}[/bold]", highlight=False)
        started = time.monotonic()
        # os.environ: a tool inherits PATH and locale besides what its check sets
        code = subprocess.run(check.argv, cwd=PROJECT, check=False, env={**os.environ, **check.env}).returncode
        verdict = "[green]ok[/green]" if code == 0 else f"[red]failed ({code})[/red]"
        console.print(f"  {verdict} in {time.monotonic() - started:.0f} s", highlight=False)
        if code:
            failed.append(check.name)
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]", highlight=False)
    return 1 if failed else 0
