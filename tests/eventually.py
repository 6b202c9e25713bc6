"""The one way in which tests wait: look again and again until it is so."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def eventually(
    look: Callable[[], T | None], *, what: str = "it happens", seconds: float = 90.0, every: float = 0.05
) -> T:
    """Answer the first thing seen that is true; fail with what was seen last. The limit is for machines that hang."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}; last seen: {seen!r}")
        time.sleep(every)
    return seen
