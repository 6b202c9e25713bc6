"""The continuous refresh: when raw has something new, update the warehouse here, warm, in this process.

Event-driven: nothing runs while nothing is new. Settled parts follow every few minutes. A failure is visible in the
status and in Dagster's record, and is tried again with growing pauses, while all that is sound goes on.
"""

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from time import monotonic

import dagster as dg

from contracts.settings import OrchestrationSettings
from contracts.warehouse import Part, Speed
from ingest.heartbeat import Heartbeat
from metrics.publication import is_duckdb
from metrics.status import Refresh, RefreshState
from orchestration.build.dbt import DbtError, Project, file_times, forget_projects, is_edited, load_project
from orchestration.build.lock import build_lock
from orchestration.build.parts import EVENTS
from orchestration.build.progress import read_progress
from orchestration.build.raw_state import RawState, RawWatch, generation_of, watch_raw
from orchestration.defs.assets import Record
from orchestration.instance import open_instance
from orchestration.publish import discard_damaged, is_damaged, last_publication
from orchestration.update import update
from orchestration.warehouse import Warehouse

logger = logging.getLogger(__name__)

_BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_LOOK_SECONDS = 5.0  # between two looks at the models
_REST, _LONGEST_REST_SECONDS = 0.1, 10.0  # between two updates, as a share of the one before


@dataclass
class Refresher:
    """Decides whether to update, and does it. One per warehouse. `settled_seconds` lie between settled parts' turns."""

    warehouse: Warehouse
    watch: RawWatch
    record: Record
    settled_seconds: float
    _done: RawState | None = None
    _failed: set[Part] = field(default_factory=set, init=False)
    _failures: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)
    _is_settled: bool = field(default=False, init=False)
    _settle_at: float = field(default=0.0, init=False)
    _files: dict[Path, int] = field(default_factory=file_times, init=False)
    _looked_at: float = field(default=0.0, init=False)

    @classmethod
    def over(cls, warehouse: Warehouse, instance: dg.DagsterInstance, *, settled_seconds: float = 300.0) -> "Refresher":
        """A refresher with everything imported and parsed, so that its first update is a warm one."""
        load_project(warehouse.settings, target_path=warehouse.dbt_target_path)
        return cls(warehouse, watch_raw(warehouse.url), Record(instance), settled_seconds)

    def refresh_if_due(self) -> bool | None:
        """Update where raw has something new, a failure's pause is over, or settled parts are due: whether all of it
        succeeded; None where nothing was done.
        """
        if monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = monotonic()
            if not self._take_up_edits():
                return False
            self._replace_damaged()
        is_pausing = monotonic() < self._not_before
        if is_pausing and EVENTS in self._failed:
            return None
        results = []
        if (state := self._something_new()) is not None or (self._failed and not is_pausing):
            results.append(self._update_live(state, without=self._failed if is_pausing else ()))
            self._is_settled = False
        if self._may_settle and not self._is_settled and monotonic() >= self._settle_at:
            failed = self._update(Speed.SETTLED)
            self._is_settled, self._settle_at = not failed, monotonic() + self.settled_seconds
            results.append(not failed)
        return all(results) if results else None

    def _take_up_edits(self) -> bool:
        """Build what a data engineer has edited, without being started anew; false where that cannot be read."""
        if not is_edited(self._files):
            return True
        files = file_times()
        forget_projects()
        try:
            digest = self._project.digest
        except DbtError as error:
            logger.warning("the edited models cannot be read, and are not built: %s", error)
            now = datetime.now(UTC)
            unread = Refresh(status=RefreshState.FAILED, started_at=now, finished_at=now, error=str(error))
            self.warehouse.status.update(last_refresh=unread)
            return False
        logger.info("the models were edited: building anew what changed (%s)", digest)
        self._files = files
        self._begin_anew()
        return True

    def _replace_damaged(self) -> None:
        """Publish at once where what was published is gone or cannot be read."""
        url = self.warehouse.url
        if not is_duckdb(url) or not (is_damaged(url) or self._is_gone()):
            return
        with build_lock(url, holder="the refresh", wait_seconds=self.warehouse.lock_seconds):
            damaged = discard_damaged(url)
        logger.error("the published version %s is damaged or gone; publishing anew", damaged.version if damaged else "")
        self._begin_anew()

    def _is_gone(self) -> bool:
        """Whether there is no published version, though this process has made one."""
        return self._done is not None and EVENTS not in self._failed and last_publication(self.warehouse.url) is None

    def _begin_anew(self) -> None:
        self._done, self._not_before = None, 0.0
        self._is_settled, self._settle_at = False, 0.0
        self.__dict__.pop("_published_version", None)

    @property
    def is_failing(self) -> bool:
        """Whether something waits to be tried again."""
        return bool(self._failed)

    @property
    def _project(self) -> Project:
        return load_project(self.warehouse.settings, target_path=self.warehouse.dbt_target_path)

    @property
    def _may_settle(self) -> bool:
        """Whether there are events, and all of them are staged."""
        return EVENTS not in self._failed and (self._done is not None or self._published_version is not None)

    def _something_new(self) -> RawState | None:
        """The state of raw, if it may hold rows that no published version has seen."""
        version = self.watch.version()
        if version is None or version == (self._done.version if self._done else self._published_version):
            return None
        state = self.watch.state()
        if state is None or (state.row_count == 0 and not self._was_rewritten(state)):
            return None  # empty, and nobody emptied it on purpose: readers keep what they have
        if self._done is not None and replace(state, version="") == replace(self._done, version=""):
            self._done = state  # compacted, or only offsets moved
            return None
        return state

    def _was_rewritten(self, state: RawState) -> bool:
        """Whether raw was rewritten since the last publication, as when its only organization was deleted."""
        last = last_publication(self.warehouse.url)
        return last is not None and state.generation > generation_of(last.raw_version)

    @cached_property
    def _published_version(self) -> str | None:
        """Version of raw that the last process published in all its parts, unless its models were others."""
        last = last_publication(self.warehouse.url)
        if last is None or last.manifest_hash != self._project.digest:
            return None
        is_whole = all(one.is_sound for one in read_progress(self.warehouse.url).values())
        return last.raw_version if is_whole else None

    def _update_live(self, state: RawState | None, *, without: Collection[Part]) -> bool:
        state = state or self.watch.state()
        has_lost = state is not None and self._has_lost_events(state)
        failed = self._update(Speed.LIVE, full_refresh=has_lost, without=without)
        if EVENTS not in failed:
            # what was built from other events is waited for no longer than it takes
            is_rewritten = has_lost or (
                state is not None and self._done is not None and state.generation != self._done.generation
            )
            self._settle_at = 0.0 if is_rewritten else self._settle_at
            self._done = state
        if failed:
            pause = _BACK_OFF_SECONDS[min(self._failures, len(_BACK_OFF_SECONDS) - 1)]
            self._failures += 1
            self._not_before = monotonic() + pause
        elif not without:
            self._failures = 0
        self._failed = failed | set(without)
        return not failed

    def _has_lost_events(self, state: RawState) -> bool:
        """Whether raw was made anew with fewer events than the marts count: increments would never notice."""
        last = last_publication(self.warehouse.url)
        if last is None or state.row_count >= last.event_count:
            return False
        return self.watch.count_rows() < last.event_count

    def _update(self, speed: Speed, *, full_refresh: bool = False, without: Collection[Part] = ()) -> set[Part]:
        """Update and show what came of it; answers the parts that failed."""
        try:
            done = update(self.warehouse, speed=speed, full_refresh=full_refresh, without=without)
        except Exception:  # the edge of one update: whatever it was, the next may succeed
            logger.exception("the update failed; readers keep the version they have")
            return {EVENTS}
        self.record.note(done, self._project)
        for part, why in done.failed.items():
            logger.warning("%s is not published anew; readers keep what they have: %s", part, why)
        return set(done.failed)


def run(stop: threading.Event) -> None:
    """Refresh until told to stop. An update that has begun is finished first."""
    settings = OrchestrationSettings()
    warehouse = Warehouse.from_settings()
    heartbeat = Heartbeat("refresh", warehouse.event_log_url)
    with open_instance(settings.dagster_home) as instance:
        refresher = Refresher.over(warehouse, instance, settled_seconds=settings.settled_seconds)
        while not stop.is_set():
            began = monotonic()
            _attempt(refresher, heartbeat)
            # where writes never cease, refreshes would not either
            rest_until = monotonic() + min(_REST * (monotonic() - began), _LONGEST_REST_SECONDS)
            _tell(refresher.record)
            stop.wait(max(rest_until - monotonic(), settings.refresh_poll_seconds))
        _tell(refresher.record, is_last=True)
        refresher.watch.close()
    heartbeat.say("stopped")
    heartbeat.close()


def _tell(record: Record, *, is_last: bool = False) -> None:
    try:
        record.tell() if is_last else record.tell_if_due()
    except Exception:  # the figures do not wait for Dagster's pages; what was not told is told the next time
        logger.exception("cannot tell Dagster what was refreshed")


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
