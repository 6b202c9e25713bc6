"""CONTRIBUTING's recipe for a new thing, followed in a copy of the tree: a slice, its events, a mart, a metric, a page.

What `./sluice new` writes passes every check as it is, and few files are touched.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.home import PROJECT
from runtime.process import die_with_parent

#: That are written, by `./sluice new` or by hand; what `./sluice accept` derives of them comes on top.
_MOST_FILES = 19

_PAGE = '''"""The visits page: how many each owner had."""

import pandas as pd

from dashboards import client, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Visits", icon="handshake", group="Analyse", position=5)


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Visits", who, me.organization.zone)
        answer = client.figures(who, "visits", {"group_by": "owner"}, version=version)
        if not answer.rows:
            states.nothing_here("No visits yet", "They appear here seconds after the first one.")
            return
        shown = [{"Owner": answer.label(row["group"]), "Visits": row["visits"]} for row in answer.rows]
        tables.show(pd.DataFrame(shown), alt="Visits by owner")
        states.provenance(answer, "Visits by owner")
'''

#: What the new things owe, and what every event, slice, mart, metric and page does.
_TESTS = (
    "tests/api/crm/test_visits.py",
    "tests/api/test_catalogue.py",
    "tests/contracts",
    "tests/dashboards/test_pages.py",
    "tests/dbt_project/test_project.py",
    "tests/metrics/test_compile.py",
    "tests/metrics/test_registry.py",
    "tests/metrics/test_visits.py",
    "tests/orchestration/test_definitions.py",
)


class Copy:
    """A copy of the tree, and what has changed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in _files(PROJECT):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / path, target)
        self._before = self._contents()

    def touched(self) -> set[str]:
        """Files that are new or other than they were."""
        now = self._contents()
        return {str(path) for path in now.keys() | self._before.keys() if now.get(path) != self._before.get(path)}

    def run(self, *command: str) -> None:
        """Run a Python program of the copy, and insist that it ends well."""
        done = subprocess.run(
            [sys.executable, *command],
            check=False,
            cwd=self.folder,
            capture_output=True,
            text=True,
            preexec_fn=die_with_parent,
            # what this run of the tests was told is nothing to those of the copy
            env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SLUICE_"))},
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"

    def _contents(self) -> dict[Path, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())
        ours = (path.relative_to(self.folder) for path in found)
        return {path: (self.folder / path).read_bytes() for path in ours if not _is_made(path)}


def _files(folder: Path) -> Iterator[Path]:
    """Files of the tree, whether or not git knows them already."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 # git of the machine
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return (Path(line) for line in listed.stdout.splitlines() if (folder / line).is_file())


def _is_made(path: Path) -> bool:
    return any(part in {"__pycache__", "target"} or part.startswith(".") for part in path.parts)


#: `./sluice new`, and what it does without the rest of the command line, whose imports take four seconds.
_COMMAND = ("-m", "runtime", "new")
_NEW = ("-c", "from runtime.new import app; app()")


def _follow(copy: Copy, *new: str) -> None:
    """The recipe, up to what is derived."""
    copy.run(*new, "slice", "visits")
    copy.run(*new, "mart", "fct_visits", "--group", "sales", "--event", "visit.created")
    copy.run(*new, "metric", "visits", "--entity", "visit")
    (copy.folder / "dashboards" / "views" / "visits.py").write_text(_PAGE)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy of the tree as it is."""
    if not (PROJECT / ".git").exists():
        pytest.skip("the tree is listed by git, and this is no clone")
    return Copy(tmp_path / "tree")


def test_a_new_thing_touches_few_files(copy: Copy) -> None:
    _follow(copy, *_NEW)
    assert len(copy.touched()) <= _MOST_FILES, sorted(copy.touched())
    copy.run("-m", "contracts.generate")
    copy.run("-c", "from metrics.published import accept; assert accept() == []")
    touched = copy.touched()
    followed = (copy.folder / "dbt_project" / "models" / "marts" / "sales" / "_sales__models.yml").read_text()
    assert "deal., visit.]" in followed  # the mart is built anew when a visit comes
    with pytest.raises(AssertionError, match="is there already"):
        copy.run(*_NEW, "slice", "visits")
    assert copy.touched() == touched


@pytest.mark.slow
def test_a_new_thing_passes_every_check_as_it_is_written(copy: Copy) -> None:
    _follow(copy, *_COMMAND)
    copy.run("-m", "runtime", "accept")
    copy.run("-m", "ruff", "check", "--quiet", ".")
    copy.run("-m", "ruff", "format", "--check", "--quiet", ".")
    copy.run("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())")
    copy.run("-m", "tests.lint_migrations")
    copy.run("-m", "mypy")
    copy.run("-m", "pytest", "-q", "-x", *_TESTS)
