"""Answers kept per warehouse version: the same question of the same people is computed once.

A version is immutable, so an answer from it never goes stale; a new version brings new keys, and the bounded table
forgets the old ones. Threads that ask the same at the same time wait for one computation.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from metrics import query
from metrics.parameters import Parameters
from metrics.publication import PublishedVersion
from metrics.query import Answer, CellAddress, Page
from metrics.question import through_of
from metrics.reader import Reader, open_reader
from metrics.registry import Definition
from metrics.viewer import Viewer

#: Local days begin at multiples of this; within one, the default period is the same.
_DAY_GRAIN = timedelta(minutes=15)

Key = tuple[Any, ...]


class AnswerCache:
    """A bounded table of answers, the least recently used goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._answers: OrderedDict[Key, Future[Answer]] = OrderedDict()

    def get(self, key: Key, compute: Callable[[], Answer]) -> Answer:
        """The answer of `key`, computed by one caller while the others wait. An error is not kept."""
        with self._lock:
            future = self._answers.get(key)
            is_mine = future is None
            if future is None:
                future = self._answers[key] = Future()
                while len(self._answers) > self._size:
                    self._answers.popitem(last=False)
            else:
                self._answers.move_to_end(key)
        if is_mine:
            self._compute(key, future, compute)
        return future.result()

    def _compute(self, key: Key, future: "Future[Answer]", compute: Callable[[], Answer]) -> None:
        try:
            future.set_result(compute())
        except BaseException as error:  # noqa: BLE001  # whoever waits must learn of it, whatever it is
            with self._lock:
                if self._answers.get(key) is future:
                    del self._answers[key]
            future.set_exception(error)


class Figures:
    """The warehouse's figures for one process. Opens the warehouse with the first question; safe between threads."""

    def __init__(self, warehouse_url: str, *, kept_answers: int = 512) -> None:
        self._url = warehouse_url
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self._cache = AnswerCache(kept_answers)

    def current(self) -> PublishedVersion:
        """The version that would answer now.

        Raises:
            WarehouseNotReadyError: nothing is published yet.
        """
        return self._open().current()

    def through(self, viewer: Viewer) -> datetime | None:
        """Newest `recorded_at` of the organization in the current version."""
        with self._open().session() as session:
            return through_of(session, viewer)

    def answer(self, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Answer:
        """As `metrics.query.answer`, from the table where it was answered before."""
        reader = self._open()
        key = (definition.definition, parameters, viewer, reader.current(), _grain(parameters, now))
        return self._cache.get(key, lambda: query.answer(reader, definition, parameters, viewer=viewer, now=now))

    def rows(
        self,
        definition: Definition,
        parameters: Parameters,
        cell: CellAddress,
        *,
        viewer: Viewer,
        now: datetime,
        limit: int,
        after: UUID | None = None,
    ) -> Page:
        """As `metrics.query.rows`."""
        return query.rows(self._open(), definition, parameters, cell, viewer=viewer, now=now, limit=limit, after=after)

    def close(self) -> None:
        """Close the warehouse."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _open(self) -> Reader:
        with self._lock:
            if self._reader is None:
                self._reader = open_reader(self._url)
            return self._reader


def _grain(parameters: Parameters, now: datetime) -> int | None:
    """What of `now` can matter to the answer: where the period was left out, the local day it lies in."""
    if parameters.start is not None and parameters.end is not None:
        return None
    return int(now.timestamp() // _DAY_GRAIN.total_seconds())
