"""What the first pass over a file learns of its columns as a whole, and tells whoever looks at a preview."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from api.imports.amounts import group_counts, judge_mark, mark_evidence
from api.imports.evidence import Evidence, Verdict
from api.imports.moments import judge_order, order_evidence
from api.imports.nothing import says_nothing
from api.imports.options import ImportOptions
from api.imports.presets import Column, ValueKind
from api.imports.values import clean, trimmed

_DATED = (ValueKind.INSTANT, ValueKind.DUE, ValueKind.DAY)
_NUMBERS = (ValueKind.AMOUNT, ValueKind.NUMBER)
#: Columns that can be written in two ways, those ways, and the option that says which.
_WAYS = (
    (_DATED, "day/month/year", "month/day/year", "day_first"),
    (_NUMBERS, "1.234,56", "1,234.56", "decimal_comma"),
)
_NAMED = 5


@dataclass
class ColumnNotes:
    """Evidence of a file's columns, gathered chunk by chunk."""

    columns: Mapping[str, Column]
    row: str
    _evidence: dict[str, Evidence] = field(default_factory=dict)
    _groups: dict[str, Counter[str]] = field(default_factory=dict)
    _nothing: Counter[tuple[str, str]] = field(default_factory=Counter)

    def look(self, text: pl.DataFrame) -> None:
        """Take in a chunk of cells."""
        row = pl.col(self.row)
        cleaned = text.with_columns(clean(column) for column in self.columns.values())
        for name, column in self.columns.items():
            if column.kind in _DATED:
                self._add(name, cleaned.select(**order_evidence(pl.col(name), row)))
            elif column.kind in _NUMBERS:
                self._add(name, cleaned.select(**mark_evidence(pl.col(name), row)))
                self._groups.setdefault(name, Counter()).update(
                    cleaned.select(**group_counts(pl.col(name))).row(0, named=True)
                )
            cells = text.select(trimmed(column)).filter(says_nothing(pl.col(name), column))
            for word, count in cells.group_by(name, maintain_order=True).len().iter_rows():
                self._nothing[name, word] += count

    def verdicts(self, options: ImportOptions) -> dict[str, Verdict]:
        """How each column is written. One that proves nothing goes by one of its kind in the file that does."""
        found = {name: self._verdict(name, options) for name in self._evidence}
        for kinds, yes, no, option in _WAYS:
            alike = {name: one for name, one in found.items() if self.columns[name].kind in kinds}
            proofs = {one.choice for one in alike.values() if one.choice is not None}
            for name, one in alike.items():
                is_open = one.choice is None and not one.is_mixed and self._evidence[name].unclear is not None
                if is_open and len(proofs) == 1:
                    like = next(other for other, verdict in alike.items() if verdict.choice is not None)
                    way = yes if proofs == {True} else no
                    note = f"read as {way}, as column {like} of the file is written ({option} says otherwise)"
                    found[name] = replace(one, choice=next(iter(proofs)), note=note)
        return found

    def words(self) -> list[str]:
        """Which words were read as no value, and where."""
        by_column: dict[str, list[str]] = {}
        for (name, word), count in self._nothing.items():
            by_column.setdefault(name, []).append(f"{word!r} ({count})")
        return [f"{name}: read as empty: {', '.join(words[:_NAMED])}" for name, words in by_column.items()]

    def _add(self, name: str, found: pl.DataFrame) -> None:
        before = self._evidence.get(name, Evidence())
        self._evidence[name] = before.with_more(**found.row(0, named=True))

    def _verdict(self, name: str, options: ImportOptions) -> Verdict:
        if self.columns[name].kind in _NUMBERS:
            return judge_mark(self._evidence[name], options.decimal_comma, **self._groups[name])
        return judge_order(self._evidence[name], options.day_first)
