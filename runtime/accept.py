"""`./sluice accept`: renews what is derived and kept in the tree, so that review sees what changed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from contracts.generate import write_page
from metrics.published import accept as publish_definitions
from runtime.call_generator import openapi, write_calls
from runtime.exposures import write_exposures
from runtime.home import PROJECT

#: Where derived files lie.
_DERIVED = (
    "contracts/asyncapi.json",
    "contracts/calls/*.py",
    "dbt_project/models/marts/_exposures.yml",
    "metrics/published.json",
    "tests/**/definitions.json",
)
#: Tests that compare with a snapshot, and write it anew when SLUICE_ACCEPT is set.
_SNAPSHOTS = ("tests/orchestration/test_definitions.py",)


def accept(say: Callable[[str], None]) -> list[str]:
    """Renew everything, and say which files changed; answers what cannot be accepted."""
    before = _contents()
    write_page()
    write_calls(openapi())
    wrong = publish_definitions()
    write_exposures()
    wrong += _renew_snapshots()
    after = _contents()
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            what = "new" if path not in before else "gone" if path not in after else "changed"
            say(f"{what}: {path.relative_to(PROJECT)}")
    if before == after:
        say("nothing changed")
    return wrong


def _contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for pattern in _DERIVED for path in PROJECT.glob(pattern)}


def _renew_snapshots() -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_SNAPSHOTS]
    # os.environ: the tests need what any test needs, and are told to write
    done = subprocess.run(
        command, check=False, cwd=PROJECT, env={**os.environ, "SLUICE_ACCEPT": "1"}, capture_output=True, text=True
    )
    return [done.stdout.strip().splitlines()[-1]] if done.returncode else []
