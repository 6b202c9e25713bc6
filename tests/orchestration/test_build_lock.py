from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.build.lock import BuildBusyError, build_lock


@pytest.fixture(params=["duckdb", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "duckdb":
        return f"duckdb://{tmp_path}"
    database: str = request.getfixturevalue("warehouse_database")
    return database


class TestBuildLock:
    def test_a_second_writer_is_told_who_holds_it(self, url: str) -> None:
        with (
            build_lock(url, holder="the refresh loop", wait_seconds=0),
            pytest.raises(BuildBusyError, match="the refresh loop"),
            build_lock(url, holder="somebody else", wait_seconds=0.2),
        ):
            pass

    def test_it_is_free_again_afterwards_even_after_an_error(self, url: str) -> None:
        def break_inside() -> None:
            with build_lock(url, holder="a run that fails", wait_seconds=0):
                raise ZeroDivisionError

        run: Callable[[], None] = break_inside
        with pytest.raises(ZeroDivisionError):
            run()
        with build_lock(url, holder="the next one", wait_seconds=0):
            pass
