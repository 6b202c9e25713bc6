"""Lists with optional filters, in keyset order: one statement per combination of filters, composed once.

DEALS = Listing(select(Deal), filters={"stage_id": Deal.stage_id == bindparam("stage_id")}, order=(Deal.id,))
rows = await unit.fetch_all(DEALS.bind({"stage_id": stage_id}, after=None, limit=50))
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from api.db.statements import Bound, Statement, compiled
from api.kernel.filters import Ask

Order = InstrumentedAttribute[Any] | ColumnElement[Any]


class Listing:
    """What a list reads, which filters it takes, and its order: columns that are never null, the id last."""

    def __init__(
        self,
        query: Select[Any],
        *,
        filters: Mapping[str, ColumnElement[bool]],
        order: Sequence[InstrumentedAttribute[Any]],
        newest_first: bool = False,
    ) -> None:
        self.order = tuple(order)
        self._query, self._filters, self._newest_first = query, dict(filters), newest_first
        self._statements: dict[tuple[frozenset[str], bool], Statement] = {}

    def is_narrowed_by(self, name: str) -> bool:
        """Whether the list has this filter."""
        return name in self._filters

    def bind(
        self, given: Mapping[str, object], *, after: Sequence[object] | None, limit: int, ask: Ask | None = None
    ) -> Bound:
        """The statement of one page: rows that the given filters let through (None is no filter), after a place.

        One that somebody composed (`ask`) is planned for its own values.
        """
        used = {name: value for name, value in given.items() if value is not None}
        if ask is not None:
            query = self._query.where(*(self._filters[name] for name in sorted(used)))
            asked = ask.narrow(query, self.order[-1], after=after, limit=limit)
            return compiled(asked, is_prepared=False).bind(**used)
        shape = (frozenset(used), after is not None)
        statement = self._statements.get(shape)
        if statement is None:
            statement = self._statements[shape] = self._compose(*shape)
        place = {} if after is None else {f"after_{number}": value for number, value in enumerate(after)}
        return statement.bind(**used, **place, row_limit=limit)

    def _compose(self, names: frozenset[str], is_later_page: bool) -> Statement:  # ours alone
        query = self._query.where(*(self._filters[name] for name in sorted(names)))
        if is_later_page:
            place = (bindparam(f"after_{number}", type_=one.type) for number, one in enumerate(self.order))
            here, after = tuple_(*self.order), tuple_(*place)
            query = query.where(here < after if self._newest_first else here > after)
        ordered = (column.desc() if self._newest_first else column.asc() for column in self.order)
        return compiled(query.order_by(*ordered).limit(bindparam("row_limit")))
