"""O-1: whatever is killed while eight writers write, nothing is lost, nothing doubled, nothing out of order."""

import random
import time

import pytest

from tests.eventually import eventually
from tests.faults.inspection import inspect
from tests.faults.operations import History, Writers
from tests.faults.processes import Harm, Spine

_SEED = 20260711
_EACH = ("api", "relay", "loader", "broker", "postgres")
_EACH_OF = (*_EACH, "relay-2", "api", "loader", "relay")


def _strike(spine: Spine, name: str, generator: random.Random) -> None:
    """Kill a process at work and start it again; what others are doing about the last blow goes on."""
    if name == "refresh":
        eventually(spine.is_building, what="the marts are being built", seconds=300)
    spine.kill(name, Harm.IMMEDIATE if name == "postgres" and generator.random() < 0.5 else Harm.KILL)
    spine.restart(name)


def _sweep(spine: Spine, history: History, *, kills: list[str], seed: int, pause: tuple[float, float]) -> None:
    print(f"seed {seed}, kills: {len(kills)}")
    generator = random.Random(seed)
    with spine.telling(), Writers(spine.api_url, history, seed=seed) as writers:
        for name in kills:
            spine.wait_ready(name)
            time.sleep(generator.uniform(*pause))  # when to strike, not when something is expected
            _strike(spine, name, generator)
        spine.mend()
    report = inspect(spine, history, writers.tenants)
    print(history.summary(), report, f"harmed: {spine.harmed}", sep="\n")
    report.assert_clean()


@pytest.mark.parametrize("names", [_EACH, pytest.param(_EACH_OF, marks=pytest.mark.slow)], ids=["each", "ten"])
def test_o1_kills_of_each_under_eight_writers_lose_double_and_reorder_nothing(
    spine: Spine, history: History, names: tuple[str, ...]
) -> None:
    kills = list(names)
    random.Random(_SEED).shuffle(kills)
    _sweep(spine, history, kills=[*kills, "refresh"], seed=_SEED, pause=(0.3, 1.0))


@pytest.mark.slow
def test_o1_a_hundred_kills_spread_over_all_lose_double_and_reorder_nothing(spine: Spine, history: History) -> None:
    generator = random.Random(_SEED)
    kills = [generator.choice(_EACH_OF) for _ in range(100)]
    _sweep(spine, history, kills=kills, seed=_SEED, pause=(0.3, 1.5))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["api", "relay", "loader", "broker", "postgres", "refresh"])
def test_o1_w1_a_hundred_kills_of_one_process_lose_double_and_reorder_nothing(
    spine: Spine, history: History, name: str
) -> None:
    _sweep(spine, history, kills=[name] * 100, seed=_SEED + len(name), pause=(0.3, 2.5))
