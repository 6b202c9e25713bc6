"""A running spine, shared by the tests that leave it whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.operations import History
from tests.faults.processes import Spine


@pytest.fixture(scope="package")
def spine(server_folder: Path) -> Iterator[Spine]:
    """All processes of the spine: two relays, one loader. Whoever harms one starts it again."""
    with Spine(server_folder / "spine") as running:
        yield running


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """A log of operations of the test's own."""
    made = History(tmp_path / "operations.jsonl")
    yield made
    made.close()
