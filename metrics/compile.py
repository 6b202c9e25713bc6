"""Builds one SQL statement: scoped relations, named steps, bound values.

`Statement.mart` is the only place that names a published relation, and it always filters by the organization; what a
caller asks for enters a statement only through `Statement.bind`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from metrics.dialect import Dialect


@dataclass(frozen=True)
class Compiled:
    """A statement ready to run, with its bound values by name."""

    sql: str
    values: dict[str, Any]


class Statement:
    """Collects common table expressions and their values for one organization."""

    def __init__(self, dialect: Dialect, organization_id: UUID) -> None:
        self.dialect = dialect
        self._organization_id = organization_id
        self._steps: list[tuple[str, str]] = []
        self._read_anew: set[str] = set()
        self._values: dict[str, Any] = {}

    def bind(self, value: object, cast: str) -> str:
        """Bind a value as SQL type `cast`; answers the expression that stands for it."""
        name = f"v{len(self._values)}"
        self._values[name] = value
        return f"cast({self.dialect.bound(name)} as {cast})"

    def step(self, name: str, sql: str) -> None:
        """Add a named step; later steps may read it."""
        self._steps.append((name, sql))

    def read_anew(self, *names: str) -> None:
        """Let engines keep no rows of these steps, though several others may read them: a scan is cheaper."""
        self._read_anew.update(names)

    def mart(
        self, name: str, mart: str, *, columns: str, known_at: datetime | None = None, conditions: Sequence[str] = ()
    ) -> None:
        """Add step `name`: the organization's rows of `mart`, as known at `known_at` (None: every row ever known)."""
        where = [f"organization_id = {self.bind(self._organization_id, 'uuid')}", *conditions]
        if known_at is not None:
            instant = self.bind(known_at, "timestamptz")
            where.append(f"known_from <= {instant} and (known_to is null or known_to > {instant})")
        source = f"{self.dialect.schema}.{mart}"
        self.step(name, f"select {columns} from {source} where " + "\n  and ".join(where))

    def any_of(self, expression: str, ids: Sequence[UUID]) -> str:
        """Condition: the uuid expression is one of `ids`; never true for an empty sequence."""
        return f"{expression} = any({self.bind(list(ids), 'uuid[]')})"

    def table(self, name: str, columns: dict[str, str], rows: Sequence[Sequence[object]]) -> None:
        """Add step `name` with literal rows, every value bound; `columns` maps a name to its SQL type."""
        types = list(columns.values())
        if not rows:
            empty = ", ".join(f"cast(null as {kind}) as {column}" for column, kind in columns.items())
            self.step(name, f"select * from (select {empty}) as nothing where false")
            return
        lines = (
            "(" + ", ".join(self.bind(value, kind) for value, kind in zip(row, types, strict=True)) + ")"
            for row in rows
        )
        body = ",\n  ".join(lines)
        self.step(name, f"select * from (values\n  {body}\n) as listed({', '.join(columns)})")

    def compile(self, query: str) -> Compiled:
        """The statement: all steps, then `query`."""
        steps = ",\n".join(
            f"{name} as {'not materialized ' if name in self._read_anew else ''}(\n{sql}\n)"
            for name, sql in self._steps
        )
        return Compiled(sql=f"with {steps}\n{query}" if steps else query, values=dict(self._values))
