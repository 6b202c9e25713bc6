"""Scores what changes, within seconds: looks for a newer version of the features, and scores the deals and leads that
differ.

A long-lived process beside Dagster's, since a run of Dagster's costs more than a score. It has work only where
`SLUICE_SCORES_KEYS` names organizations, and is started there alone. Training stays Dagster's, by night.
"""

import logging
import signal
import threading
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import duckdb
import psycopg

from contracts.settings import OrchestrationSettings, RelayDatabaseSettings, ScoringSettings, WarehouseSettings
from ingest.heartbeat import Heartbeat
from metrics.errors import MetricError
from metrics.reader import open_reader
from metrics.session import Reader
from models_ml.errors import ScoringError
from orchestration.score_runs import features_version, score_changed
from orchestration.scores_client import ScoresClient
from orchestration.scoring import SUBJECTS

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
#: A model may be promoted while no deal changes.
_AT_LEAST_EVERY_SECONDS = 60.0
#: What failed is tried again: an API that is started anew is there soon, a key that is refused stays refused.
_AGAIN_AFTER_SECONDS = 15.0
#: What a warehouse or an API that is not there, or is too slow, raises.
_AWAY = (ScoringError, MetricError, psycopg.Error, duckdb.Error, OSError)


def score_all(reader: Reader, clients: Iterable[ScoresClient], folder: Path) -> str | None:
    """Score what changed, of each organization that takes part; what did not go well, if anything."""
    problem = None
    for client in clients:
        for subject in SUBJECTS.values():
            try:
                with reader.session() as session:
                    done = score_changed(client, session, folder, subject, now=datetime.now(UTC))
            except _AWAY as error:
                logger.warning("an organization's %ss are not scored: %s", subject.noun, error)
                problem = f"{subject.noun}s are not scored: {error}"
            else:
                if done.get("changed"):
                    logger.info("scored %ss: %s", subject.noun, done)
    return problem


def run(stop: threading.Event) -> None:
    """Score until told to stop, and report how that goes."""
    url = WarehouseSettings().warehouse_url.get_secret_value()
    folder = OrchestrationSettings().dagster_home.absolute() / "scores"
    settings = ScoringSettings()
    clients = [ScoresClient.at(settings.api_url, key.get_secret_value()) for key in settings.scores_keys]
    heartbeat = Heartbeat("scorer", RelayDatabaseSettings().database_relay_url.get_secret_value(), interval=10.0)
    progress = _Progress()
    with closing(open_reader(url)) as reader, ExitStack() as connections:
        for client in clients:
            connections.enter_context(client.http)
        while not stop.is_set():
            try:
                version = features_version(url)
            except _AWAY as error:
                logger.warning("the warehouse cannot be looked at: %s", error)
                progress.problem = f"the warehouse cannot be looked at: {error}"
            else:
                if version is not None and progress.is_due(version):
                    progress.looked(version, score_all(reader, clients, folder))
            state = "failing" if progress.problem else "running"
            heartbeat.say(state, error=progress.problem, behind_seconds=progress.behind_seconds())
            stop.wait(_LOOK_SECONDS)
    heartbeat.say("stopped")
    heartbeat.close()


@dataclass
class _Progress:
    """How far scores are: the version that was looked at last, what went wrong with it, and since when."""

    problem: str | None = None
    _version: str | None = None
    _again_at: float = 0.0
    _behind_since: float | None = None

    def is_due(self, version: str) -> bool:
        """Whether there is something to score, or to try again."""
        return version != self._version or monotonic() >= self._again_at

    def looked(self, version: str, problem: str | None) -> None:
        """Note what came of a look at a version."""
        self.problem, self._version = problem, version
        self._again_at = monotonic() + (_AGAIN_AFTER_SECONDS if problem else _AT_LEAST_EVERY_SECONDS)

    def behind_seconds(self) -> int:
        """For how long scores have not followed the features; 0 where they do."""
        if self.problem is None:
            self._behind_since = None
            return 0
        self._behind_since = self._behind_since or monotonic()
        return round(monotonic() - self._behind_since)


def main() -> None:
    """Run as a program of the process `dagster`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(stop)


if __name__ == "__main__":
    main()
