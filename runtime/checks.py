"""What `./sluice test` runs: the linters, the types, the import arrows, then the tests. One list, for people and CI."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from runtime.home import PROJECT

_STATIC_PROCESSES = 2
#: Each starts a PostgreSQL and a broker of its own, and waits for them much of the time.
_TEST_PROCESSES = 2


@dataclass(frozen=True)
class Check:
    """One command of the list."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def _tool(name: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / name), *arguments]


def static_checks() -> list[Check]:
    """Checks that start no server, the longest first: they run two at a time."""
    return [
        Check("types", _tool("mypy")),
        Check(
            "SQL style",
            _tool("sqlfluff", "lint", "dbt_project/models"),
            # rendered against an empty database outside the tree
            env={"SLUICE_DBT_DUCKDB_PATH": ":memory:", "SLUICE_DBT_RAW_EVENTS_PATH": ""},
        ),
        Check("format", _tool("ruff", "format", "--check", "--quiet", ".")),
        Check("lint", _tool("ruff", "check", "--quiet", ".")),
        Check("import arrows", _tool("lint-imports")),
        Check("migrations", [sys.executable, "-m", "runtime.lint_migrations"]),
        Check(
            "compose file", _tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
        ),
        Check("Dockerfile", _tool("hadolint", "Dockerfile")),
        Check("contract files", [sys.executable, "-m", "contracts.generate", "--check"]),
    ]


def suite_check(*, everything: bool, pytest_arguments: Sequence[str]) -> Check:
    """The tests: all of them in two processes, or plain pytest with a person's own arguments."""
    marks = [] if everything else ["-m", "not slow"]
    spread = [] if pytest_arguments else ["-n", str(_TEST_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"]
    return Check("tests", [sys.executable, "-m", "pytest", *marks, *spread, *pytest_arguments])


def run_checks(console: Console, *, everything: bool, pytest_arguments: Sequence[str]) -> int:
    """Run all checks, go on after a failure, and say at the end what failed. Returns an exit code."""
    failed = [] if pytest_arguments else run_side_by_side(console, static_checks())
    tests = suite_check(everything=everything, pytest_arguments=pytest_arguments)
    console.print(f"[bold]{tests.name}[/bold]", highlight=False)
    started = time.monotonic()
    code = subprocess.run(tests.argv, cwd=PROJECT, check=False).returncode
    _print_verdict(console, code, time.monotonic() - started)
    if code:
        failed.append(tests.name)
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]", highlight=False)
    return 1 if failed else 0


def run_side_by_side(console: Console, checks: Sequence[Check]) -> list[str]:
    """Run checks two at a time, print each one's output whole when it ends; the names of those that failed."""
    failed = []
    with ThreadPoolExecutor(_STATIC_PROCESSES) as pool:
        running = {pool.submit(_run_quietly, check): check for check in checks}
        for done in as_completed(running):
            check, (code, output, seconds) = running[done], done.result()
            console.print(f"[bold]{check.name}[/bold]", highlight=False)
            console.out(output, end="", highlight=False)
            _print_verdict(console, code, seconds)
            if code:
                failed.append(check.name)
    return failed


def _run_quietly(check: Check) -> tuple[int, str, float]:
    """Exit code, output and seconds of one check."""
    started = time.monotonic()
    done = subprocess.run(
        check.argv,
        cwd=PROJECT,
        check=False,
        env={**os.environ, **check.env},  # os.environ: a tool inherits PATH and locale besides what its check sets
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout, time.monotonic() - started


def _print_verdict(console: Console, code: int, seconds: float) -> None:
    verdict = "[green]ok[/green]" if code == 0 else f"[red]failed ({code})[/red]"
    console.print(f"  {verdict} in {seconds:.0f} s", highlight=False)
