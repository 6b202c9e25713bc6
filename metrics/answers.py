"""Answers kept per question: what the same people ask of the same warehouse version is computed once.

A version is immutable, so an answer from it never goes stale; a new version brings a new answer. Until that one is
computed the answer before is there for whoever would rather not wait, and says which version it is from. The table is
bounded. Threads that ask the same at the same time wait for one computation.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.settings import FIGURES_MEMORY_LIMIT
from contracts.warehouse import Part
from metrics import query
from metrics.errors import UnknownVersionError
from metrics.explain import Explanation, explain
from metrics.parameters import Parameters
from metrics.publication import PublishedVersion, parse_version
from metrics.query import Answer
from metrics.question import through_of
from metrics.reader import open_reader
from metrics.registry import Definition
from metrics.restatements import Restatement, restatements
from metrics.rows import CellAddress, Page, rows
from metrics.session import KeptVersion, Reader, VersionedReader
from metrics.viewer import Viewer

#: Local days begin at multiples of this; within one, the default period is the same.
_DAY_GRAIN = timedelta(minutes=15)

Key = tuple[Any, ...]


@dataclass(frozen=True)
class KeptAnswer:
    """An answer, and the version that was asked for it."""

    answer: Answer
    version: PublishedVersion


@dataclass
class _Entry:
    """What a question's newest version answers, or will, and the newest answer that is there."""

    version: PublishedVersion
    answer: Future[Answer]
    kept: KeptAnswer | None


class AnswerCache:
    """A bounded table of questions, the one not asked for longest goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def kept(self, question: Key) -> KeptAnswer | None:
        """The newest answer to `question` that is there, whatever version it is from."""
        with self._lock:
            entry = self._entries.get(question)
            return entry.kept if entry else None

    def get(self, question: Key, version: PublishedVersion, compute: Callable[[], Answer]) -> Answer:
        """The answer of `version`, computed by one caller while the others wait. An error is not kept."""
        with self._lock:
            entry = self._entries.get(question)
            is_mine = entry is None or entry.version != version
            if entry is None or is_mine:
                entry = _Entry(version, Future(), entry.kept if entry else None)
                self._entries[question] = entry
                while len(self._entries) > self._size:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(question)
        if is_mine:
            self._compute(question, entry, compute)
        return entry.answer.result()

    def _compute(self, question: Key, entry: _Entry, compute: Callable[[], Answer]) -> None:
        try:
            answer = compute()
        except BaseException as error:  # noqa: BLE001  # whoever waits must learn of it, whatever it is
            with self._lock:
                if self._entries.get(question) is entry:
                    del self._entries[question]
            entry.answer.set_exception(error)
        else:
            entry.kept = KeptAnswer(answer, entry.version)
            entry.answer.set_result(answer)


class Figures:
    """The warehouse's figures for one process. Opens the warehouse with the first question; safe between threads."""

    def __init__(
        self, warehouse_url: str, *, kept_answers: int = 512, memory_limit: str = FIGURES_MEMORY_LIMIT
    ) -> None:
        self._url = warehouse_url
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        self._reader: VersionedReader | None = None
        self._asked: PublishedVersion | None = None
        self._pinned: Reader | None = None
        self._cache = AnswerCache(kept_answers)

    def current(self) -> PublishedVersion:
        """The version that would answer now.

        Raises:
            WarehouseNotReadyError: nothing is published yet.
        """
        return self._read().current()

    @property
    def asked_version(self) -> PublishedVersion | None:
        """The version that was asked by its name."""
        return self._asked

    def now(self) -> datetime:
        """What answers take for now: of a version that was asked by name, when it was published."""
        return datetime.now(UTC) if self._asked is None else self._asked.published_at

    def kept_versions(self) -> list[KeptVersion]:
        """The versions that can be asked by name, newest first."""
        return self._open().kept()

    def at(self, name: str, parts: Collection[Part] = ()) -> "Figures":
        """The figures of one version, asked by its name, or of a kept one with the same `parts`.

        What they answer is kept with the other answers.

        Raises:
            UnknownVersionError: there cannot have been such a version.
            VersionGoneError: it is not kept any more.
        """
        try:
            version = parse_version(name)
        except ValueError:
            raise UnknownVersionError from None
        figures = Figures(self._url)
        figures._asked, figures._pinned = version, self._open().at(version, parts)
        figures._cache = self._cache
        return figures

    def through(self, viewer: Viewer) -> datetime | None:
        """Newest `recorded_at` of the organization in the current version."""
        with self._read().session() as session:
            return through_of(session, viewer)

    def answer(self, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Answer:
        """As `metrics.query.answer`, from the table where it was answered before."""
        reader = self._read()
        return self._cache.get(
            self._key(definition, parameters, viewer=viewer, now=now),
            reader.current(),
            lambda: query.answer(reader, definition, parameters, viewer=viewer, now=now),
        )

    def kept(
        self, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime
    ) -> KeptAnswer | None:
        """The newest answer that was computed before, without computing one."""
        return self._cache.kept(self._key(definition, parameters, viewer=viewer, now=now))

    def explain(self, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Explanation:
        """As `metrics.explain.explain`."""
        return explain(self._read(), definition, parameters, viewer=viewer, now=now)

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
        """As `metrics.rows.rows`."""
        return rows(self._read(), definition, parameters, cell, viewer=viewer, now=now, limit=limit, after=after)

    def restatements(
        self,
        definition: Definition,
        parameters: Parameters,
        cell: CellAddress,
        *,
        earlier: datetime | date,
        viewer: Viewer,
        now: datetime,
        most: int,
    ) -> Restatement:
        """As `metrics.restatements.restatements`."""
        return restatements(
            self._read(), definition, parameters, cell, earlier=earlier, viewer=viewer, now=now, most=most
        )

    def close(self) -> None:
        """Close the warehouse."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _key(self, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Key:
        question = _question(definition, parameters, viewer=viewer, now=now)
        return question if self._asked is None else (*question, self._asked)

    def _read(self) -> Reader:
        return self._pinned or self._open()

    def _open(self) -> VersionedReader:
        with self._lock:
            if self._reader is None:
                self._reader = open_reader(self._url, memory_limit=self._memory_limit)
            return self._reader


def _question(definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Key:
    """All that decides an answer but the version."""
    return definition.definition, parameters, viewer, _grain(parameters, now)


def _grain(parameters: Parameters, now: datetime) -> int | None:
    """What of `now` can matter to the answer: where the period was left out, the local day it lies in."""
    if parameters.start is not None and parameters.end is not None:
        return None
    return int(now.timestamp() // _DAY_GRAIN.total_seconds())
