"""The continuous refresh: when raw has something new, run Dagster's `refresh` job here, warm, in this process.

Event-driven: nothing runs while nothing is new. A failure is visible in the status and in Dagster's record, and is
tried again with growing pauses; the next success clears it.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from time import monotonic
from typing import Any

import dagster as dg

from contracts.settings import OrchestrationSettings
from ingest.heartbeat import Heartbeat
from orchestration.definitions import build_defs
from orchestration.defs.jobs import REFRESH
from orchestration.instance import LOOP_TAG, fail_abandoned_runs, open_instance, prune_runs
from orchestration.manifest import load_manifest, project_hash
from orchestration.publish import last_publication
from orchestration.raw_state import RawState, RawWatch, watch_raw
from orchestration.report import record_failure
from orchestration.resources import Pipeline

logger = logging.getLogger(__name__)

_BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_PRUNE_EVERY_RUNS = 20
_REST, _LONGEST_REST_SECONDS = 0.5, 10.0  # between two runs, as a share of the one before

#: Dagster's own record of a run is complete; a run every few seconds would fill this process's log.
_QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}


@dataclass
class Refresher:
    """Decides whether to refresh, and does it. One per warehouse."""

    pipeline: Pipeline
    instance: dg.DagsterInstance
    job: dg.JobDefinition
    watch: RawWatch
    _done: RawState | None = None
    _runs: int = 0
    _failures: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)

    @classmethod
    def over(cls, pipeline: Pipeline, instance: dg.DagsterInstance) -> "Refresher":
        """A refresher with everything imported and parsed, so that its first run is a warm one."""
        definitions = build_defs(pipeline=pipeline, manifest=load_manifest(pipeline.dbt_target_path))
        return cls(pipeline, instance, definitions.resolve_job_def(REFRESH), watch_raw(pipeline.url))

    def refresh_if_due(self) -> bool | None:
        """Refresh where raw has something new and no pause is due: whether it succeeded; None where nothing was run."""
        if monotonic() < self._not_before:
            return None
        state = self._something_new()
        if state is None:
            return None
        succeeded = self._run(full_refresh=self._has_lost_events(state))
        if succeeded:
            self._done, self._failures = state, 0
        else:
            pause = _BACK_OFF_SECONDS[min(self._failures, len(_BACK_OFF_SECONDS) - 1)]
            self._failures += 1
            self._not_before = monotonic() + pause
        return succeeded

    @property
    def is_failing(self) -> bool:
        """Whether the last run failed."""
        return self._failures > 0

    def _something_new(self) -> RawState | None:
        """The state of raw, if it may hold rows that no published version has seen."""
        version = self.watch.version()
        if version is None or version == (self._done.version if self._done else self._published_version):
            return None
        state = self.watch.state()
        if state is None or state.row_count == 0:
            return None
        if self._done is not None and replace(state, version="") == replace(self._done, version=""):
            self._done = state  # compacted, or only offsets moved
            return None
        return state

    @cached_property
    def _published_version(self) -> str | None:
        """Version of raw that the last process published, unless its models were others."""
        last = last_publication(self.pipeline.url)
        return last.raw_version if last and last.manifest_hash == project_hash() else None

    def _has_lost_events(self, state: RawState) -> bool:
        """Whether raw was made anew with fewer events than the marts count: increments would never notice."""
        last = last_publication(self.pipeline.url)
        if last is None or state.row_count >= last.event_count:
            return False
        return self.watch.count_rows() < last.event_count

    def _run(self, *, full_refresh: bool) -> bool:
        started_at = datetime.now(UTC)
        config = _QUIET | {"ops": {"dbt_models": {"config": {"full_refresh": full_refresh}}}}
        result = self.job.execute_in_process(
            run_config=config, instance=self.instance, tags={LOOP_TAG: "true"}, raise_on_error=False
        )
        if not result.success:
            logger.warning("refresh %s failed; readers keep the version they have", result.run_id)
            record_failure(self.pipeline.status, started_at, f"Dagster run {result.run_id} failed; see its events.")
        self._runs += 1
        if self._runs % _PRUNE_EVERY_RUNS == 0:
            prune_runs(self.instance)
        return result.success


def run(stop: threading.Event) -> None:
    """Refresh until told to stop. A refresh that has begun is finished first.

    Not in the main thread: there Dagster replaces the handlers of signals while a job runs, and the one that tells to
    stop would break off the job and be forgotten.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="refresh") as thread:
        thread.submit(_refresh_until, stop).result()


def _refresh_until(stop: threading.Event) -> None:
    settings = OrchestrationSettings()
    pipeline = Pipeline.from_settings()
    heartbeat = Heartbeat("refresh", pipeline.event_log_url)
    with open_instance(settings.dagster_home, captures_output=False) as instance:
        fail_abandoned_runs(instance, of_loop=True)
        refresher = Refresher.over(pipeline, instance)
        while not stop.is_set():
            began = monotonic()
            _attempt(refresher, heartbeat)
            # where writes never cease, refreshes would not either
            rest = min(_REST * (monotonic() - began), _LONGEST_REST_SECONDS)
            stop.wait(max(rest, settings.refresh_poll_seconds))
        refresher.watch.close()
    heartbeat.say("stopped")
    heartbeat.close()


def _attempt(refresher: Refresher, heartbeat: Heartbeat) -> None:
    try:
        succeeded = refresher.refresh_if_due()
    except Exception as error:  # the edge of one attempt: a warehouse that is down comes back
        logger.exception("cannot look at raw")
        heartbeat.say("unavailable", error=f"{type(error).__name__}: {error}")
        return
    if succeeded is False:
        heartbeat.say("failing", error="the last refresh failed; see the checks")
    elif succeeded or not refresher.is_failing:
        heartbeat.say("running")
