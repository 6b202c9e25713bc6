"""The version before: the tree as it was before the first migration of the next release, beside the present one."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from api.db import migrate
from api.db.bootstrap import prepare_database
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.home import PROJECT
from runtime.process import ManagedProcess, ProcessSpec
from tests.conftest import PASSWORDS, Database, urls_of

#: The newest migration of the last release. Moves on with each release.
LAST_RELEASED = "0004"

_VERSIONS = "api/db/migrations/versions"


@dataclass(frozen=True)
class OlderTree:
    """A checkout. Its packages come before the present ones in a process that has `environment`."""

    folder: Path
    commit: str

    @property
    def environment(self) -> dict[str, str]:
        """For a process that shall run this tree's code."""
        return {**os.environ, "PYTHONPATH": str(self.folder)}

    @property
    def revisions(self) -> list[str]:
        """Its migrations, the oldest first."""
        return sorted(path.name.split("_")[0] for path in (self.folder / _VERSIONS).glob("[0-9]*.py"))

    def run(self, program: str, *arguments: str, text: str = "") -> str:
        """What a Python program says that imports this tree's packages and reads `text`."""
        argv = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(
            argv, cwd=self.folder, env=self.environment, input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def process(
        self, name: str, settings: Mapping[str, str], folder: Path, *, ready: Callable[[], bool] = lambda: True
    ) -> ManagedProcess:
        """A process of this tree, not started: `api`, `relay`, `loader`."""
        argv = [sys.executable, "-m", "runtime.serve", name]
        environment = {**settings, "PYTHONPATH": str(self.folder)}
        spec = ProcessSpec(f"{name}-before", argv, env=environment, cwd=self.folder, ready=ready)
        return ManagedProcess(spec, log_path=folder / f"{name}-before.log")


def _git(*arguments: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        pytest.skip("needs git to find the version before")
    done = subprocess.run([git, *arguments], cwd=PROJECT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the version before is not in this checkout: git {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def _commit_before_the_next_release() -> str:
    newer = sorted(path for path in (PROJECT / _VERSIONS).glob("[0-9]*.py") if path.name > f"{LAST_RELEASED}~")
    added = _git("log", "--diff-filter=A", "--format=%H", "--", str(newer[0])).decode().split() if newer else []
    # not committed yet, or nothing new: then it is the newest commit
    return _git("rev-parse", "--verify", f"{added[-1]}^" if added else "HEAD").decode().strip()


@pytest.fixture(scope="session")
def version_before(tmp_path_factory: pytest.TempPathFactory) -> OlderTree:
    """The version that is in use while the migrations of the next release run."""
    commit = _commit_before_the_next_release()
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit))) as archive:
        archive.extractall(folder, filter="data")
    tree = OlderTree(folder, commit)
    assert tree.revisions == migrate.revisions()[: len(tree.revisions)]
    return tree


@pytest.fixture
def older_database(postgres: EmbeddedPostgres, version_before: OlderTree) -> Iterator[Database]:
    """A database that the version before has made."""
    database = urls_of(postgres, "version_before")
    prepare_database(postgres.url(), database=database.name, passwords=PASSWORDS)
    program = "import sys; from api.db.migrate import upgrade; upgrade(sys.argv[1])"
    version_before.run(program, database.owner_url)
    yield database
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute("drop database version_before with (force)")
