"""What `./sluice test` runs: the linters, the types, the import arrows, the tests. One list, for people and CI.

Two lanes: every run has the quick tests, `--all` adds those marked `slow`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from runtime.home import PROJECT
from runtime.process import die_with_parent

_STATIC_PROCESSES = 2
#: Each starts a PostgreSQL and a broker of its own. No more than processors: the refresh of a stack under test is
#: polite, and would get nothing of what they leave.
_TEST_PROCESSES = max(2, min(os.cpu_count() or 2, 4))
#: Checks beside the tests take what those leave of the processors.
_NICENESS = 19


@dataclass(frozen=True)
class Check:
    """One command of the list."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def _tool(name: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / name), *arguments]


def quick_checks() -> list[Check]:
    """Checks of a few seconds, which go before everything else."""
    return [
        Check("format", _tool("ruff", "format", "--check", "--quiet", ".")),
        Check("lint", _tool("ruff", "check", "--quiet", ".")),
        Check("import arrows", _tool("lint-imports")),
        Check("migrations", [sys.executable, "-m", "tests.lint_migrations"]),
        Check(
            "compose file", _tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
        ),
        Check("Dockerfile", _tool("hadolint", "Dockerfile")),
        Check("contract files", [sys.executable, "-m", "contracts.generate", "--check"]),
    ]


def long_checks() -> list[Check]:
    """Checks that start no server and compute for a minute: they run beside the tests, which wait much of the time."""
    return [
        Check("types", _tool("mypy")),
        Check(
            "SQL style",
            _tool("sqlfluff", "lint", "dbt_project/models"),
            # rendered against an empty database outside the tree
            env={"SLUICE_DBT_DUCKDB_PATH": ":memory:", "SLUICE_DBT_RAW_EVENTS_PATH": ""},
        ),
    ]


def suite_check(*, everything: bool, pytest_arguments: Sequence[str]) -> Check:
    """The tests: all of them in several processes, or plain pytest with a person's own arguments."""
    marks = [] if everything else ["-m", "not slow"]
    spread = [] if pytest_arguments else ["-n", str(_TEST_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"]
    return Check("tests", [sys.executable, "-m", "pytest", *marks, *spread, *pytest_arguments])


def run_checks(console: Console, *, everything: bool, pytest_arguments: Sequence[str]) -> int:
    """Run all checks, go on after a failure, and say at the end what failed. Returns an exit code."""
    tests = suite_check(everything=everything, pytest_arguments=pytest_arguments)
    if pytest_arguments:
        return 1 if run_tests(console, tests) else 0
    failed = run_side_by_side(console, quick_checks())
    with ThreadPoolExecutor(1) as pool:
        beside = [pool.submit(_run_quietly, check, niceness=_NICENESS) for check in long_checks()]
        tests_failed = run_tests(console, tests)
        for check, running in zip(long_checks(), beside, strict=True):
            failed += _report(console, check, running)
    if tests_failed:
        failed.append(tests.name)
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]", highlight=False)
    return 1 if failed else 0


def run_tests(console: Console, tests: Check) -> bool:
    """Run the tests, their output shown as it comes; whether they failed."""
    console.print(f"[bold]{tests.name}[/bold]", highlight=False)
    started = time.monotonic()
    process = subprocess.Popen(
        tests.argv,
        cwd=PROJECT,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call, which takes no lock
    )
    with _told_to_stop_with_us(process):
        code = process.wait()
    _print_verdict(console, code, time.monotonic() - started)
    return code != 0


@contextmanager
def _told_to_stop_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass SIGTERM on: the tests end what they have started before anybody is gone."""

    told: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        process.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    yield
    signal.signal(signal.SIGTERM, before)
    if told:
        os.kill(os.getpid(), signal.SIGTERM)  # now as it was meant


def run_side_by_side(console: Console, checks: Sequence[Check]) -> list[str]:
    """Run checks two at a time, print each one's output whole when it ends; the names of those that failed."""
    failed = []
    with ThreadPoolExecutor(_STATIC_PROCESSES) as pool:
        running = {pool.submit(_run_quietly, check): check for check in checks}
        for done in as_completed(running):
            failed += _report(console, running[done], done)
    return failed


def _report(console: Console, check: Check, running: "Future[tuple[int, str, float]]") -> list[str]:
    """Print what a check said; its name where it failed."""
    code, output, seconds = running.result()
    console.print(f"[bold]{check.name}[/bold]", highlight=False)
    console.out(output, end="", highlight=False)
    _print_verdict(console, code, seconds)
    return [check.name] if code else []


def _run_quietly(check: Check, *, niceness: int = 0) -> tuple[int, str, float]:
    """Exit code, output and seconds of one check."""
    started = time.monotonic()
    done = subprocess.run(
        check.argv,
        cwd=PROJECT,
        preexec_fn=partial(_prepare_child, niceness),  # two system calls, which take no lock
        check=False,
        env={**os.environ, **check.env},  # os.environ: a tool inherits PATH and locale besides what its check sets
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout, time.monotonic() - started


def _prepare_child(niceness: int) -> None:
    os.nice(niceness)
    die_with_parent()


def _print_verdict(console: Console, code: int, seconds: float) -> None:
    verdict = "[green]ok[/green]" if code == 0 else f"[red]failed ({code})[/red]"
    console.print(f"  {verdict} in {seconds:.0f} s", highlight=False)
