"""The table of security requirements is whole, names tests that exist, and says of what is not done why."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
ROWS: list[dict[str, Any]] = yaml.safe_load((PROJECT / "tests/asvs.yml").read_text())
#: How many requirements of level 1 and 2 each section of ASVS 5.0.0 has; those of level 3 come last in each.
_SECTIONS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "3.2": 2, "3.3": 4,
    "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3,
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5,
    "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4,
    "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3, "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1,
    "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3,
    "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4,
    "17.3": 2,
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["requirement"]))
def test_a_requirement_is_shown_by_tests_that_exist(row: dict[str, Any]) -> None:
    assert row["status"] in {"done", "partly", "open", "none"}
    assert row["tests"] if row["status"] == "done" else row["note"]
    for test in row["tests"]:
        path, *names = test.split("::")
        source = (PROJECT / path).read_text()
        for name in names:
            assert re.search(rf"^\s*(async def|def|class) {name}\b", source, re.MULTILINE), test


def test_every_requirement_of_level_1_and_2_stands_once() -> None:
    requirements = [str(row["requirement"]) for row in ROWS]
    assert len(set(requirements)) == len(requirements)
    every = {f"{section}.{number}" for section, count in _SECTIONS.items() for number in range(1, count + 1)}
    assert len(every) == 253
    assert every <= set(requirements)
