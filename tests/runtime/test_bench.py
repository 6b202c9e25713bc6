"""The command line of the benchmarks: what may be asked for, and what is said to the rest."""

import pytest
from rich.console import Console

from benchmarks.runner import UnknownParameterError, read_parameters, run_benchmarks


def test_parameters_are_numbers_by_name() -> None:
    assert read_parameters(["minutes=0.5", "deals=1000"]) == {"minutes": 0.5, "deals": 1000}
    with pytest.raises(UnknownParameterError, match="minutes"):
        read_parameters(["minutes"])


def test_an_unknown_parameter_is_refused_before_anything_runs() -> None:
    with pytest.raises(UnknownParameterError, match=r"soak has no parameter hours\. It has: minutes"):
        run_benchmarks(Console(), ["soak"], parameters={"hours": 1}, json_file=None)
