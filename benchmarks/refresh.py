"""What one refresh after 10,000 new events costs on many existing events, beside the same on a hundredth or a tenth.

Each size has a process and a warehouse (DuckDB) of its own. Its refreshes are warm: the project is parsed, and as many
versions are published as are kept. Steps as the refresh job does them; Dagster's own bookkeeping is left out, for it is
the same for every size and would flatter the ratio.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

from pydantic import SecretStr

from benchmarks.deal_histories import DELIVERY_EVENTS, DealHistories
from benchmarks.result import BenchmarkResult
from contracts.settings import WarehouseSettings
from orchestration.build import dbt
from orchestration.build.dbt import NodeResult
from orchestration.build.parts import Builder
from orchestration.build.raw_state import raw_path, read_raw_state
from orchestration.publish import KEPT_VERSIONS, Publication, last_publication, publish
from orchestration.publish.checks import check_build

_FEW, _MANY = 100_000, 1_000_000
_MEASURED = 3
_OTHER_MODELS, _MEASURED_SINGLE = 30, 15  # models of other groups, and refreshes of a single event

Answer = TypeVar("Answer")


@dataclass
class Cost:
    """What a size's refreshes cost: seconds by step (medians), memory at most, files on disk."""

    events: int
    full_build_seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    slowest_nodes: dict[str, float] = field(default_factory=dict)
    full_build_mb: int = 0
    peak_mb: int = 0
    cpu_seconds: float = 0.0
    disk_mb: dict[str, int] = field(default_factory=dict)
    single_event_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """A whole refresh."""
        return sum(self.steps.values())

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {seconds:.2f}" for name, seconds in self.steps.items())
        nodes = ", ".join(f"{name} {seconds:.2f}" for name, seconds in self.slowest_nodes.items())
        disk = ", ".join(f"{name} {size:,}" for name, size in self.disk_mb.items())
        return (
            f"{self.seconds:.2f} s ({self.cpu_seconds:.2f} s of processor): {steps}; slowest: {nodes}; "
            f"process at most {self.peak_mb:,} MB in refreshes, {self.full_build_mb:,} MB in the full build, "
            f"which took {self.full_build_seconds:.0f} s; disk, MB: {disk}"
        )


def run(*, few: int = _FEW, many: int = _MANY) -> BenchmarkResult:
    """Compare refreshes over `many` events with refreshes over `few`."""
    costs = {events: _in_own_process(events) for events in (few, many)}
    beside = _in_own_process(few, others=_OTHER_MODELS).single_event_seconds
    alone = costs[few].single_event_seconds
    return BenchmarkResult(
        name="refresh",
        figure=costs[many].seconds,
        unit="s",
        limit=costs[few].seconds,
        limit_description=f"the same {DELIVERY_EVENTS:,} new events on {costs[few].events:,}, same run",
        details={
            f"one event, {_OTHER_MODELS} models in other groups": f"{beside:.3f} s, without them {alone:.3f} s",
            "ratio of both": round(beside / alone, 2),
            "ratio of processor time": round(costs[many].cpu_seconds / costs[few].cpu_seconds, 2),
            **{f"on {cost.events:,} events": str(cost) for cost in costs.values()},
        },
    )


def measure(folder: Path, *, events: int) -> Cost:
    """Fill a warehouse in a folder, build it, refresh it until it is warm, then measure."""
    warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{folder}"))
    url = warehouse.warehouse_url.get_secret_value()
    histories = DealHistories(raw_path(url), events=events)
    cost = Cost(histories.write_existing(), 0.0)
    started = time.monotonic()
    _refresh(warehouse, folder)
    cost.full_build_seconds = time.monotonic() - started
    cost.full_build_mb = _peak_mb()
    for _ in range(KEPT_VERSIONS + 1):
        histories.deliver()
        _refresh(warehouse, folder)
    _forget_peak()
    rounds, processor = [], []
    for _ in range(_MEASURED):
        histories.deliver()
        before = time.process_time()
        rounds.append(_refresh(warehouse, folder))
        processor.append(time.process_time() - before)
    steps = {name: median(one[0][name] for one in rounds) for name in rounds[0][0]}
    nodes = {node.name: median(one[1].get(node.name, 0.0) for one in rounds) for node in _nodes_of(rounds)}
    cost.steps = {name: round(seconds, 3) for name, seconds in steps.items()}
    cost.slowest_nodes = dict(sorted(nodes.items(), key=lambda one: -one[1])[:8])
    cost.cpu_seconds = round(median(processor), 2)
    cost.peak_mb = _peak_mb()
    cost.single_event_seconds = _measure_single(warehouse, histories, folder)
    cost.disk_mb = {name: _size_mb(folder / name) for name in ("raw", ".build", "published")}
    return cost


def _measure_single(warehouse: WarehouseSettings, histories: DealHistories, folder: Path) -> float:
    """Seconds of a refresh after one event of one group."""
    rounds = []
    for _ in range(_MEASURED_SINGLE):
        histories.deliver(1)
        rounds.append(sum(_refresh(warehouse, folder)[0].values()))
    return median(rounds)


def add_models(folder: Path, count: int) -> Path:
    """A copy of the project with live models in a group for which nothing comes."""
    project = Path(shutil.copytree(dbt.PROJECT_DIR, folder / "project"))
    for number in range(count):
        (project / f"models/marts/access/other_{number}.sql").write_text(
            "{{ config(meta={'speed': 'live'}, contract={'enforced': false}) }}\n"
            "select organization_id, count(*) as sign_ins from {{ ref('stg_events') }}\n"
            "where type = 'user.logged_in' group by organization_id\n"
        )
    return project


Round = tuple[dict[str, float], dict[str, float]]


@dataclass(frozen=True)
class _Name:
    name: str


def _nodes_of(rounds: list[Round]) -> list[_Name]:
    return [_Name(name) for name in rounds[0][1]]


def _refresh(warehouse: WarehouseSettings, folder: Path) -> Round:
    """One refresh; seconds by step, and by model or test."""
    url = warehouse.warehouse_url.get_secret_value()
    steps: dict[str, float] = {}
    nodes: list[NodeResult] = []

    def timed(step: str, work: Callable[[], Answer]) -> Answer:
        started = time.monotonic()
        answer = work()
        steps[step] = time.monotonic() - started
        return answer

    state = timed("raw look", lambda: read_raw_state(url))
    builder = Builder(warehouse, target_path=folder / "dbt", on_node=nodes.append)
    built = timed("dbt", builder.build_live)
    unsound = builder.unsound_parts()
    findings = timed("checks", lambda: check_build(url, last_publication(url), now=datetime.now(UTC)))
    if built.failed or not all(finding.passed for finding in findings):
        raise RuntimeError(f"the build failed: {built.failed}, {findings}")
    raw_version = state.version if state else None

    def publish_build() -> Publication:
        now = datetime.now(UTC)
        return publish(url, manifest_hash="bench", now=now, raw_version=raw_version, unsound=unsound)

    timed("publish", publish_build)
    for kind in ("model", "test"):
        steps[f"dbt {kind}s"] = sum(node.seconds for node in nodes if node.resource_type == kind)
    steps["dbt itself"] = steps.pop("dbt") - steps["dbt models"] - steps["dbt tests"]
    return steps, {node.name: round(node.seconds, 3) for node in nodes}


def _in_own_process(events: int, *, others: int = 0) -> Cost:
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.refresh", folder, str(events), str(others)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=Path(__file__).resolve().parents[1],
        )
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _peak_mb() -> int:
    """The most memory that this process held since `_forget_peak`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _forget_peak() -> None:
    with suppress(OSError):  # not every system lets a process reset its own mark
        Path("/proc/self/clear_refs").write_text("5")


def _size_mb(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1_000_000


if __name__ == "__main__":
    home = Path(sys.argv[1])
    dbt.PROJECT_DIR = add_models(home, int(sys.argv[3]))
    print(json.dumps(asdict(measure(home / "warehouse", events=int(sys.argv[2])))))
