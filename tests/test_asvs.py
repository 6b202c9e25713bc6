"""The table of security requirements names tests that exist, and says of what is not done why."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
ROWS: list[dict[str, Any]] = yaml.safe_load((PROJECT / "tests/asvs.yml").read_text())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["requirement"]))
def test_a_requirement_is_shown_by_tests_that_exist(row: dict[str, Any]) -> None:
    assert row["status"] in {"done", "partly", "open"}
    assert row["tests"] if row["status"] == "done" else row["note"]
    for test in row["tests"]:
        path, *names = test.split("::")
        source = (PROJECT / path).read_text()
        for name in names:
            assert re.search(rf"^\s*(async def|def|class) {name}\b", source, re.MULTILINE), test


def test_no_requirement_stands_twice() -> None:
    requirements = [str(row["requirement"]) for row in ROWS]
    assert len(set(requirements)) == len(requirements)
