"""The SQL behind an answer, as it ran: the same question through the same code, over a reader that notes statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from contracts.warehouse import Mart
from metrics import query
from metrics.compile import Compiled
from metrics.dialect import Dialect
from metrics.parameters import Parameters
from metrics.publication import PublishedPart, PublishedVersion
from metrics.query import Answer
from metrics.registry import Definition
from metrics.session import Reader, Session
from metrics.viewer import Viewer


@dataclass(frozen=True)
class Explanation:
    """An answer, and the statements that it was computed by, in their order: the last one counts the facts."""

    answer: Answer
    dialect: Dialect
    statements: list[Compiled]


@dataclass(frozen=True)
class _NotingSession:
    """A session that remembers what it ran."""

    session: Session
    statements: list[Compiled]

    @property
    def version(self) -> PublishedVersion:
        """The version that is read."""
        return self.session.version

    @property
    def dialect(self) -> Dialect:
        """The engine's spelling."""
        return self.session.dialect

    def part_of(self, mart: Mart) -> PublishedPart:
        """How far the mart's group is."""
        return self.session.part_of(mart)

    def fetch(self, statement: Compiled) -> list[tuple[Any, ...]]:
        """Run a statement, and note it."""
        self.statements.append(statement)
        return self.session.fetch(statement)


@dataclass
class _NotingReader:
    """A reader whose sessions do."""

    reader: Reader
    statements: list[Compiled] = field(default_factory=list)
    dialects: list[Dialect] = field(default_factory=list)

    def current(self) -> PublishedVersion:
        """The current version's name."""
        return self.reader.current()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the current version."""
        with self.reader.session() as session:
            self.dialects.append(session.dialect)
            yield _NotingSession(session, self.statements)

    def close(self) -> None:
        """It belongs to somebody else."""


def explain(
    reader: Reader, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime
) -> Explanation:
    """Answer a question and say how. Raises as `metrics.query.answer` does."""
    noting = _NotingReader(reader)
    answer = query.answer(noting, definition, parameters, viewer=viewer, now=now)
    return Explanation(answer, noting.dialects[0], noting.statements)


def as_literal(value: object) -> str:
    """A bound value as SQL text, to run a statement by hand; its type is in the statement, which casts it."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"array[{', '.join(as_literal(one) for one in value)}]"
    text = value.isoformat() if isinstance(value, datetime | date) else str(value)
    return "'" + text.replace("'", "''") + "'"


def with_literals(statement: Compiled, dialect: Dialect) -> str:
    """The statement with its values in their places: paste it into `./sluice warehouse`."""
    text = statement.sql
    # v12 before v1, of which it is no use
    for name in sorted(statement.values, key=len, reverse=True):
        text = text.replace(dialect.bound(name), as_literal(statement.values[name]))
    return text


def as_json(value: object) -> object:
    """A bound value as JSON can carry it."""
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
