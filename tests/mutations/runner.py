"""Applies a mutation to a copy of the tree and runs the named tests there."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runtime.home import PROJECT
from tests.mutations.mutation import Edit, Mutation

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".sluice", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "target", "logs", "*.duckdb"
)
_TESTS_FAILED = 1
_SECONDS = 600


class MutationError(Exception):
    """The mutation says nothing: it could not be applied, or the tests did not run on the mutated tree."""


@dataclass(frozen=True)
class Verdict:
    """What the named tests made of the mutation."""

    failed: tuple[str, ...]
    output: str

    @property
    def is_noticed(self) -> bool:
        """Whether a test went red."""
        return bool(self.failed)


def try_mutation(mutation: Mutation, folder: Path) -> Verdict:
    """Copy the tree to `folder`, apply the mutation and run its tests.

    Raises:
        MutationError: see there.
    """
    copy = folder / "tree"
    shutil.copytree(PROJECT, copy, ignore=_LEFT_OUT)
    for edit in mutation.edits:
        _apply(copy, edit)
    # os.environ: the tests inherit PATH and locale; the copy comes before the installed project
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    _check_that_the_copy_runs(copy, environment)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", *mutation.tests],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    failed = tuple(re.findall(r"^FAILED (\S+)", done.stdout, flags=re.MULTILINE))
    if done.returncode not in {0, _TESTS_FAILED} or (done.returncode and not failed):
        raise MutationError(f"{mutation}: the tests did not run: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return Verdict(failed, done.stdout)


def _apply(tree: Path, edit: Edit) -> None:
    path = tree / edit.path
    text = path.read_text()
    if text.count(edit.before) != 1:
        raise MutationError(f"{edit.path} holds {text.count(edit.before)} times, not once: {edit.before!r}")
    path.write_text(text.replace(edit.before, edit.after))


def _check_that_the_copy_runs(copy: Path, environment: dict[str, str]) -> None:
    look = "import api, bus, ingest, tests; print(*(room.__file__ for room in (api, bus, ingest, tests)))"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=copy, env=environment, capture_output=True, text=True, check=True
    )
    strangers = [path for path in done.stdout.split() if not path.startswith(str(copy))]
    if strangers:
        raise MutationError(f"not the mutated tree: {strangers}")
