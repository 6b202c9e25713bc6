"""Dagster's own home: its `dagster.yaml`, its record of runs, and how much of that record is kept."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml

from contracts.settings import OrchestrationSettings
from metrics.publication import replace_file

#: Runs that stay in the record, the newest first.
KEPT_RUNS = 200

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def write_home(dagster_home: Path) -> Path:
    """Write `dagster.yaml`; answers the absolute home, as Dagster wants it in DAGSTER_HOME."""
    home = dagster_home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    replace_file(home / "dagster.yaml", yaml.safe_dump(_configuration(home), sort_keys=False))
    return home


@contextmanager
def open_instance(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that all of Dagster's processes, and the refresh loop, share."""
    home = write_home(dagster_home)
    with _one_at_a_time(home):
        instance = dg.DagsterInstance.from_config(str(home), "dagster.yaml")
    with instance:
        yield instance


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Dagster makes the tables of its record when it first opens it, and fails where another process does so too."""
    with (home / "opening.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prune_runs(instance: dg.DagsterInstance, keep: int = KEPT_RUNS, at_most: int = 50) -> int:
    """Delete finished runs beyond the newest `keep`, with what they printed, some at once; answers how many."""
    records = instance.get_run_records(limit=keep + at_most)
    doomed = [record.dagster_run for record in records[keep:] if record.dagster_run.status in _FINISHED]
    for run in doomed:
        instance.delete_run(run.run_id)
        for left in Path(instance.root_directory).rglob(f"{run.run_id}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return len(doomed)


def fail_abandoned_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs as failed whose process is gone; answers how many there were.

    To be called by a process that starts, before anybody can start runs.
    """
    abandoned = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
    for run in abandoned:
        instance.report_run_failed(run, "The process of this run ended before the run did.")
    return len(abandoned)


def _configuration(home: Path) -> dict[str, object]:
    days = {"skipped": 1, "success": 7, "failure": 30, "started": -1}
    return {
        "telemetry": {"enabled": False},
        "storage": {"sqlite": {"base_dir": str(home / "storage")}},
        # one that a person started, and one of a schedule: the build lock lets them take turns
        "concurrency": {"runs": {"max_concurrent_runs": 2}},
        # each look costs a dozen statements
        "run_queue": {"dequeue_interval_seconds": 10},
        "retention": {"schedule": {"purge_after_days": days}, "sensor": {"purge_after_days": days}},
        "nux": {"enabled": False},
    }


def main() -> None:
    """Before Dagster's own processes start: runs of the last ones, which the record still takes for running, failed."""
    with open_instance(OrchestrationSettings().dagster_home) as instance:
        fail_abandoned_runs(instance)


if __name__ == "__main__":
    main()
