"""What a process says about itself: one row of `process_status`, for `sluice status` and the data-health page."""

import json
import logging
from time import monotonic
from typing import Any

import psycopg

logger = logging.getLogger(__name__)

_SAY = """
insert into process_status (process, state, detail, updated_at) values (%s, %s, %s, clock_timestamp())
on conflict (process) do update set state = excluded.state, detail = excluded.detail, updated_at = excluded.updated_at
"""
_ERROR_CHARACTERS = 500


class Heartbeat:
    """Reports a state every `interval` seconds, and at once when it changes. Never fails: a report is a courtesy."""

    def __init__(self, process: str, url: str | None, *, interval: float = 2.0) -> None:
        self.process = process  # may change: of several like processes each has a number
        self._url, self._interval = url, interval
        self._connection: psycopg.Connection | None = None
        self._said: tuple[str, str | None] | None = None
        self._due = 0.0

    def is_due(self) -> bool:
        """Whether the next report is written even without a change; what is costly to find out can wait for it."""
        return monotonic() >= self._due

    def say(self, state: str, *, error: str | None = None, **detail: Any) -> None:  # noqa: ANN401  # any JSON value
        """Report `state` (running, waiting, unavailable, paused, stopped) and details; nothing personal."""
        error = error[:_ERROR_CHARACTERS] if error else None
        changed = self._said != (state, error)
        if changed:
            log = logger.warning if error else logger.info
            extra = {"reporter": self.process, "state": state}
            log("%s is %s%s", self.process, state, f": {error}" if error else "", extra=extra)
        if self._url is None or not (changed or self.is_due()):
            self._said = (state, error)
            return
        self._due = monotonic() + self._interval
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=2)
            self._connection.execute(_SAY, (self.process, state, json.dumps({**detail, "error": error})))
            self._said = (state, error)
        except psycopg.Error as failure:
            self.close()
            logger.debug("cannot report: %s", failure)

    def close(self) -> None:
        """Close the connection; the row stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
