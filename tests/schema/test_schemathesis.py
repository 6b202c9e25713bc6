"""Schemathesis tries what OpenAPI says: no fault, no status, type or body that the document does not tell of."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.access import Role
from tests.conftest import Database
from tests.schema.serving import Served, served

_HERE = Path(__file__).parent
#: What ends the sign-in that all other calls need, or asks all of them for a second factor.
_ENDING = (
    "log_out",
    "revoke_session",
    "change_password",
    "confirm_second_factor",
    "update_organization",
    "update_user",
    "switch_organization",
)


@pytest.fixture(scope="module")
def api(make_database: Callable[[], Database]) -> Iterator[Served]:
    with served(make_database()) as running:
        yield running


def _run(api: Served, role: Role, folder: Path, *arguments: str) -> None:
    excluded = [part for name in _ENDING for part in ("--exclude-operation-id", name)]
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(_HERE / "schemathesis.toml")),
        *("run", f"{api.url}/openapi.json"),
        # one thread: Python 3.11 cannot parse in two at once (SystemError: AST constructor recursion depth mismatch)
        *("--checks", "all", "--seed", "1", "--no-color", "--continue-on-failure"),
        *("-H", f"Authorization: Bearer {api.tokens[role]}"),
        *excluded,
        *arguments,
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "150"}
    )
    assert done.returncode == 0, done.stdout[:20_000] + done.stderr[-2_000:]


@pytest.mark.parametrize("role", [Role.OWNER, Role.REP])
def test_each_operation_answers_as_the_document_says(api: Served, role: Role, tmp_path: Path) -> None:
    _run(api, role, tmp_path, "--phases", "examples,fuzzing", "--max-examples", "1", "--max-time", "8", "--no-shrink")


@pytest.mark.slow
@pytest.mark.parametrize("role", list(Role))
def test_each_operation_answers_as_the_document_says_whatever_is_asked(api: Served, role: Role, tmp_path: Path) -> None:
    _run(api, role, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "30")
