"""What the verbs `backup` and `restore` take and refuse, before any server is asked."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.backup.server import BackupError
from runtime.cli import app
from runtime.stack import StackError


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    for name in ("SLUICE_DATABASE_BACKUP_URL", "SLUICE_BACKUP_PATH"):
        monkeypatch.delenv(name, raising=False)


def _refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 1
    assert isinstance(result.exception, BackupError | StackError)
    return str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say where to"),
        (["--at", "2026-05-01T09:30:00Z", "--latest"], "Say where to"),
        (["--at", "yesterday"], "is no instant"),
        (["--at", "2026-05-01T09:30:00"], "has no time zone"),
        (["--at", "2026-05-01T09:30:00Z"], "There is no backup"),
        (["--latest", "--into", "elsewhere"], "There is no backup"),
    ],
)
def test_an_aim_that_is_none(arguments: list[str], said: str) -> None:
    assert said in _refused("restore", *arguments)


def test_a_backup_of_a_stopped_stack() -> None:
    assert "not running here" in _refused("backup")


def test_a_list_of_nothing_says_how_to_make_something(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["backup", "--list", "--to", str(tmp_path)])
    assert result.exit_code == 0
    assert "There is no backup" in result.output
