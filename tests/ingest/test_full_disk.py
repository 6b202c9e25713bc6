"""A warehouse on a disk that fills up: said, waited for, and nothing lost or doubled once there is room again."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.loader import Loader
from ingest.relay import Relay
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.loading import is_complete, row_count
from tests.ingest.writers import count, insert_events, relay_settings, running

_SIZE = 64 * 1024 * 1024
_SAID = (
    "select count(*) from process_status where process = 'loader' and state = 'warehouse unavailable'"
    " and detail->>'error' ilike '%no space left%'"
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield folder
    subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


def _fill(ballast: Path, *, leave: int) -> None:
    """Take all space but `leave` bytes."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            size = file.tell()
    with ballast.open("r+b") as file:
        file.truncate(max(0, size - leave))


# with some room the files of rows no longer fit, with none not even the log's entry of a commit
@pytest.mark.parametrize("leave", [0, 12_288], ids=["no room at all", "room for a log entry"])
def test_w6_a_full_disk_pauses_the_loader_and_loses_nothing(
    database: Database, fresh_broker: RunningBroker, small_disk: Path, leave: int
) -> None:
    settings = relay_settings(database, fresh_broker, f"duckdb://{small_disk / 'warehouse'}")
    ballast = small_disk / "ballast"
    with (
        running(lambda stop: Relay(*settings).run(stop)),
        running(lambda stop: Loader(settings[1], settings[2], settings[0]).run(stop)),
    ):
        insert_events(database.app_url, 500)
        eventually(lambda: is_complete(database, settings), what="raw is complete")
        _fill(ballast, leave=leave)
        for seed in range(2, 5):
            insert_events(database.app_url, 500, seed=seed)
        eventually(lambda: count(database.relay_url, _SAID) == 1, seconds=60, what="it says so")
        assert row_count(settings) < 2_000
        ballast.unlink()
        eventually(lambda: is_complete(database, settings), seconds=60, what="raw is complete")
    assert row_count(settings) == 2_000
    running_again = "select count(*) from process_status where process = 'loader' and state = 'stopped'"
    assert count(database.relay_url, running_again) == 1
