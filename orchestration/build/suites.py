"""Suites of expectations as plain values, and the process that judges them by Great Expectations (`expectations`)."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

_SUITE_SECONDS = 300


@dataclass(frozen=True)
class Expectation:
    """One of Great Expectations' own, by its class's name, and what it is `of`."""

    type: str
    of: Mapping[str, Any]


@dataclass(frozen=True)
class Suite:
    """What is expected of a frame, whose column `rows` says how many `things` each of its rows stands for."""

    name: str
    frame: str
    things: str
    expectations: Sequence[Expectation]


@dataclass(frozen=True)
class SuiteFinding:
    """What became of a suite: in `failed` the columns that are not as expected."""

    suite: str
    passed: bool
    message: str
    failed: tuple[str, ...] = ()


class SuiteError(RuntimeError):
    """The suites' process ended without an answer: says what it wrote last."""


def not_null(column: str) -> Expectation:
    """Every row has a value."""
    return Expectation("ExpectColumnValuesToNotBeNull", {"column": column})


def one_of(column: str, values: Sequence[str]) -> Expectation:
    """Values are among these."""
    return Expectation("ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(values)})


def between(column: str, least: float | None = None, most: float | None = None) -> Expectation:
    """Values are not below and not above."""
    return Expectation("ExpectColumnValuesToBeBetween", {"column": column, "min_value": least, "max_value": most})


def judge_suites(
    suites: Sequence[Suite], frames: Mapping[str, pl.DataFrame], *, docs: Path | None = None
) -> list[SuiteFinding]:
    """Judge frames; `docs` is the folder whose data docs are made anew.

    Raises:
        SuiteError: they could not be judged.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-suites-") as name:
        folder = Path(name)
        for frame, rows in frames.items():
            rows.write_parquet(folder / f"{frame}.parquet")
        (folder / "suites.json").write_text(json.dumps([asdict(suite) for suite in suites]), encoding="utf-8")
        command = [sys.executable, "-m", "orchestration.build.expectations", str(folder)]
        done = subprocess.run(
            [*command, str(docs)] if docs else command,
            capture_output=True,
            text=True,
            timeout=_SUITE_SECONDS,
            check=False,
            cwd=Path(__file__).resolve().parents[2],
        )
        answer = folder / "findings.json"
        if done.returncode != 0 or not answer.exists():
            raise SuiteError(f"The suites ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
        found = json.loads(answer.read_text(encoding="utf-8"))
    return [SuiteFinding(one["suite"], one["passed"], one["message"], tuple(one["failed"])) for one in found]
