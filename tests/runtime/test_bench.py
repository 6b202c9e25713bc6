"""The command line of the benchmarks: what may be asked for, and what is said to the rest."""

from typing import Any

import pytest
from rich.console import Console

from benchmarks import freshness, soak
from benchmarks.runner import WrongParameterError, read_parameters, run_benchmarks


def test_parameters_are_of_the_kind_that_the_benchmark_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, Any]] = []

    def run(*, api_url: str | None = None, password: str = "", probes: int = 20) -> list[Any]:
        taken.append({"api_url": api_url, "password": password, "probes": probes})
        return []

    monkeypatch.setattr(freshness, "run", run)
    given = read_parameters(["api_url=http://127.0.0.1:8000/?a=b", "password=2026", "probes=5"])
    run_benchmarks(Console(), ["freshness"], parameters=given, json_file=None)
    assert taken == [{"api_url": "http://127.0.0.1:8000/?a=b", "password": "2026", "probes": 5}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("minutes", "'minutes' is not of the form name=value"),
        ("hours=1", r"soak has no parameter hours\. It has: minutes"),
        ("minutes=many", r"soak cannot be run with .*'many'.*: Input should be a valid number"),
    ],
)
def test_what_is_no_parameter_is_refused_before_anything_runs(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*, minutes: float = 2.0, deals: int = 1) -> list[Any]:
        raise AssertionError(f"it ran: {minutes} {deals}")

    monkeypatch.setattr(soak, "run", run)
    with pytest.raises(WrongParameterError, match=said):
        run_benchmarks(Console(), ["soak"], parameters=read_parameters([given]), json_file=None)
