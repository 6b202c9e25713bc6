"""Dagster's own home: its `dagster.yaml`, its record of runs, and how much of that record is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml

from metrics.publication import replace_file

#: Tag of every run that the refresh loop starts, so that it recognizes its own.
LOOP_TAG = "sluice/refresh_loop"

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
    """The instance that all of Dagster's processes share."""
    with dg.DagsterInstance.from_config(str(write_home(dagster_home))) as instance:
        yield instance


def prune_runs(instance: dg.DagsterInstance, keep: int = KEPT_RUNS, at_most: int = 50) -> int:
    """Delete finished runs beyond the newest `keep`, at most so many at once; answers how many."""
    records = instance.get_run_records(limit=keep + at_most)
    doomed = [record.dagster_run for record in records[keep:] if record.dagster_run.status in _FINISHED]
    for run in doomed:
        instance.delete_run(run.run_id)
    return len(doomed)


def fail_abandoned_runs(instance: dg.DagsterInstance, *, of_loop: bool) -> int:
    """Mark runs as failed whose process is gone: the refresh loop's, or those that Dagster's code server started.

    To be called by a process that starts, before it starts runs of its own. Answers how many there were.
    """
    unfinished = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
    abandoned = [run for run in unfinished if (LOOP_TAG in run.tags) is of_loop]
    for run in abandoned:
        instance.report_run_failed(run, "The process of this run ended before the run did.")
    return len(abandoned)


def _configuration(home: Path) -> dict[str, object]:
    days = {"skipped": 1, "success": 7, "failure": 30, "started": -1}
    return {
        "telemetry": {"enabled": False},
        "event_log_storage": {
            "module": "orchestration.event_storage",
            "class": "EventStorage",
            "config": {"base_dir": str(home / "events")},
        },
        # the refresh loop's run, and one that a person or a schedule started: the build lock lets them take turns
        "concurrency": {"runs": {"max_concurrent_runs": 2}},
        "retention": {"schedule": {"purge_after_days": days}, "sensor": {"purge_after_days": days}},
        "nux": {"enabled": False},
    }
