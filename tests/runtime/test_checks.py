"""`./sluice test`: every check runs, failures are named, and a person's own arguments reach plain pytest."""

import sys

from rich.console import Console

from runtime.checks import Check, run_side_by_side, suite_check


def _program(name: str, code: str) -> Check:
    return Check(name, [sys.executable, "-c", code])


def test_checks_run_side_by_side_and_each_says_its_own() -> None:
    console = Console(record=True, width=120)
    checks = [
        _program("types", "print('42: [red] is no colour'); raise SystemExit(3)"),
        _program("lint", "print('all well')"),
        _program("format", "raise SystemExit(1)"),
    ]
    assert sorted(run_side_by_side(console, checks)) == ["format", "types"]
    said = console.export_text()
    assert "types\n42: [red] is no colour\n  failed (3) in" in said
    assert "lint\nall well\n  ok in" in said


def test_processes_share_the_tests_unless_a_person_says_what_to_run() -> None:
    assert {"-n", "loadfile"} <= set(suite_check(everything=False, pytest_arguments=[]).argv)
    own = suite_check(everything=False, pytest_arguments=["tests/ingest", "-k", "o2"]).argv
    assert list(own[1:]) == ["-m", "pytest", "-m", "not slow", "tests/ingest", "-k", "o2"]
