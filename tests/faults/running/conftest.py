"""A running spine, shared by the tests that leave it whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.operations import History
from tests.faults.processes import Spine


@pytest.fixture(scope="package")
def shared_spine(server_folder: Path) -> Iterator[Spine]:
    """All processes of the spine: two relays, one loader."""
    with Spine(server_folder / "spine") as running:
        yield running


@pytest.fixture
def spine(shared_spine: Spine) -> Spine:
    """The shared spine, whole, whatever the test before has left of it."""
    shared_spine.mend()
    return shared_spine


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """A log of operations of the test's own."""
    made = History(tmp_path / "operations.jsonl")
    yield made
    made.close()
