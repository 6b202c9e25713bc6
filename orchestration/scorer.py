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
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import duckdb
import psycopg

from contracts.settings import OrchestrationSettings, ScoringSettings, WarehouseSettings
from metrics.errors import MetricError
from metrics.reader import Reader, open_reader
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


def score_all(reader: Reader, clients: Iterable[ScoresClient], folder: Path) -> bool:
    """Score what changed, of each organization that takes part; whether all went well."""
    is_well = True
    for client in clients:
        for subject in SUBJECTS.values():
            try:
                with reader.session() as session:
                    done = score_changed(client, session, folder, subject, now=datetime.now(UTC))
            except _AWAY as error:
                logger.warning("an organization's %ss are not scored: %s", subject.noun, error)
                is_well = False
            else:
                if done.get("changed"):
                    logger.info("scored %ss: %s", subject.noun, done)
    return is_well


def run(stop: threading.Event) -> None:
    """Score until told to stop."""
    url = WarehouseSettings().warehouse_url.get_secret_value()
    folder = OrchestrationSettings().dagster_home.absolute() / "scores"
    looked_at, again_at = None, 0.0
    settings = ScoringSettings()
    clients = [ScoresClient.at(settings.api_url, key.get_secret_value()) for key in settings.scores_keys]
    with closing(open_reader(url)) as reader, ExitStack() as connections:
        for client in clients:
            connections.enter_context(client.http)
        while not stop.is_set():
            version = _version(url)
            if version is not None and (version != looked_at or monotonic() >= again_at):
                is_well = score_all(reader, clients, folder)
                looked_at = version
                again_at = monotonic() + (_AT_LEAST_EVERY_SECONDS if is_well else _AGAIN_AFTER_SECONDS)
            stop.wait(_LOOK_SECONDS)


def _version(url: str) -> str | None:
    """That of the features; None where there is none, or nobody can say."""
    try:
        return features_version(url)
    except _AWAY as error:
        logger.warning("the warehouse cannot be looked at: %s", error)
        return None


def main() -> None:
    """Run as a program of the process `dagster`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(stop)


if __name__ == "__main__":
    main()
