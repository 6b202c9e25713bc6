"""A published file is damaged or removed: the version before answers, and another one is published at once."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from metrics.compile import Compiled
from metrics.duckdb_reader import DuckDBReader
from metrics.errors import WarehouseNotReadyError
from metrics.publication import PublishedFolder
from orchestration import refresh
from orchestration.publish import last_publication
from tests.orchestration.conftest import Installation

_COUNT = Compiled("select count(*) from fct_deals", {})


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(12_288)  # its headers are all right


def _overwrite(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(12_288)
        file.write(b"\xa5" * (size - 12_288))


@pytest.mark.parametrize(
    "damage", [_overwrite, *(pytest.param(one, marks=pytest.mark.slow) for one in (_truncate, Path.unlink))]
)
def test_a_damaged_version_is_replaced_while_the_one_before_answers(
    refreshed: Installation, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(refresh, "_LOOK_SECONDS", 0.0)
    refreshed.new_deal()
    assert refreshed.refresher.refresh_if_due() is True
    root = Path(refreshed.url.removeprefix("duckdb://"))
    folder = PublishedFolder(root)
    current = folder.current()
    assert current is not None
    damage(folder.path_of(current))

    with closing(DuckDBReader(root)) as reader:
        for _ in range(3):  # one whose file breaks under its eyes may say 503 once
            try:
                with reader.session() as session:
                    assert session.fetch(_COUNT) == [(2,)]
                    assert session.version.version < current.version
            except WarehouseNotReadyError:
                continue
        with reader.session() as session:
            assert session.fetch(_COUNT) == [(2,)]

        assert refreshed.refresher.refresh_if_due() is True  # though no event came
        with reader.session() as session:
            assert session.fetch(_COUNT) == [(3,)]
            assert session.version.version > current.version
    assert refreshed.refresher.refresh_if_due() is None


def test_a_published_folder_that_was_removed_comes_back(
    refreshed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "_LOOK_SECONDS", 0.0)
    shutil.rmtree(Path(refreshed.url.removeprefix("duckdb://"), "published"))
    assert refreshed.refresher.refresh_if_due() is True
    published = last_publication(refreshed.url)
    assert published is not None
    assert published.event_count == len(refreshed.log.events)
